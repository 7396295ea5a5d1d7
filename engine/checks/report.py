"""Runs every guard on fake tensors before training, and reports all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from firebox.engine.checks.guard import Guard, built_in, concern, findings, own_guards
from firebox.engine.checks.preflight import Preflight, Unavailable
from firebox.engine.configuration import Configuration
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.world.world import ALONE, World
from firebox.foundation.console import size
from firebox.foundation.problems import Problem, in_order, refuse
from firebox.foundation.shards import shard_sizes

if TYPE_CHECKING:
    from rich.table import Table

    from firebox.data.bases.datamodule import DataModule
    from firebox.engine.checks.costs import Costs

Result = Literal["passed", "refused", "not checked"]


@dataclass(frozen=True, slots=True)
class Report:
    """The results of the guards, and the run's costs.

    Args:
        configuration: the configuration that was checked.
        data: the datamodule or datagenerator.
        results: the outcome and the concern of each guard, by its name.
        costs: the run's costs; None if its steps could not be rehearsed.
        kept: the number of checkpoints on the disk at once.
        free_memory: the device's free memory in bytes; None if unknown.
        free_disk: the free space of the output folder's file system, in bytes.
        processes: number of processes that train the run.
    """

    configuration: Configuration
    data: DataModule
    results: dict[str, tuple[Result, str]]
    costs: Costs | None
    kept: int
    free_memory: int | None
    free_disk: int
    processes: int = 1

    @property
    def estimated_memory(self) -> int | None:
        """The run's peak memory in bytes; None if its steps could not be rehearsed."""
        return None if self.costs is None else self.costs.memory

    def tables(self) -> list[Table]:
        """Returns the results as tables for the terminal."""
        from rich.table import Table

        guards = Table("guard", "result", "refuses", title=f"{len(self.results)} guards")
        for name, (result, refused) in self.results.items():
            guards.add_row(name, result, refused)
        if self.costs is None:
            return [guards]
        costs, batch = self.costs, self.configuration.data.loading.batch_size
        shards = self.configuration.training.shards
        sizes, share = shard_sizes(batch, shards), shards // self.processes
        several = self.processes > 1
        estimated = Table("estimated", "", title="what each process takes" if several else "what the run takes")
        if shards > 1:
            each = f"{sizes[0]} images" if sizes[0] == sizes[-1] else f"{sizes[-1]} to {sizes[0]} images"
            estimated.add_row("processes", f"{self.processes}, each with {share} of the {shards} shards of a batch")
            estimated.add_row("shard", f"{each} of {batch}")
        estimated.add_row("parameters", f"{costs.parameters:,}, trained {costs.trained:,}")
        estimated.add_row("weights", size(costs.weights))
        estimated.add_row("gradients", size(costs.gradients))
        estimated.add_row("optimizer", size(costs.optimizer))
        what = f"batch of {batch}" if shards == 1 else f"shard of {sizes[0]}"
        estimated.add_row(f"activations, {what}", size(costs.activations))
        estimated.add_row("evaluation", size(costs.evaluation))
        if costs.data:
            estimated.add_row("data", size(costs.data))
        free = f" of {size(self.free_memory)} free" if self.free_memory is not None else ""
        estimated.add_row("memory", size(costs.memory) + free)
        disk = f"{self.kept} x {size(costs.checkpoint)} = {size(self.kept * costs.checkpoint)}"
        estimated.add_row("disk, checkpoints", f"{disk} of {size(self.free_disk)} free")
        return [guards, estimated]


def preflight(
    configuration: Configuration,
    trainer: Trainer,
    resumed: RunDirectory | None = None,
    data: DataModule | None = None,
    *,
    world: World = ALONE,
) -> Report:
    """Runs all guards, and reports all of their problems in one refusal.

    Args:
        configuration: the run's configuration.
        trainer: the trainer that was asked to train.
        resumed: the directory of the run to resume; None for a new run.
        data: the data that the configuration names; None to construct it.
        world: processes that are to train the run.

    Raises:
        Refusal: the combination can't work.
    """
    looked_at = Preflight(configuration, trainer, resumed=resumed, data=data, world=world)
    results, costs = _checked(looked_at, built_in())
    from firebox.engine.checks.resources import checkpoints_kept, free_disk, free_memory

    kept = checkpoints_kept(configuration)
    memory, disk = free_memory(configuration), free_disk(configuration.directory)
    return Report(configuration, looked_at.data, results, costs, kept, memory, disk, world.size)


def preflight_of_replay(configuration: Configuration) -> None:
    """Runs the guards that look at the machine, of which a replay may be made on another one than the run was.

    Raises:
        Refusal: the combination can't work here.
    """
    _checked(Preflight(configuration), {name: guard for name, guard in built_in().items() if guard.looks_at_machine})


def _checked(looked_at: Preflight, guards: Mapping[str, Guard]) -> tuple[dict[str, tuple[Result, str]], Costs | None]:
    """Returns what guards, and those that the configuration lists, found, and what the run takes.

    Raises:
        Refusal: with all that can't work.
    """
    problems: list[Problem] = []
    results: dict[str, tuple[Result, str]] = {}
    for name, guard in [*guards.items(), *own_guards(looked_at)]:
        found, complete = findings(guard, looked_at)
        problems += found
        result: Result = "refused" if found else "passed" if complete else "not checked"
        results[name] = (result, concern(guard))
    costs = _costs(looked_at)
    problems += looked_at.failures
    if not any(problem.key.partition(".")[0] in ("model", "module") for problem in problems):
        # A failing step is often a consequence of what a guard has found.
        problems += looked_at.step_failures
    refuse(in_order(problems))
    return results, costs


def _costs(preflight: Preflight) -> Costs | None:
    try:
        return preflight.costs
    except Unavailable:
        return None
