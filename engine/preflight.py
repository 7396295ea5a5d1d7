"""Runs every guard before the training, on fake tensors, and reports all that is wrong at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from engine.configuration import Configuration, Named
from engine.guard import Guard, built_in
from engine.problems import Problem, Refusal, in_one_line, in_order, refuse
from engine.run_directory import RunDirectory
from engine.trainer import Trainer

if TYPE_CHECKING:
    from rich.table import Table

    from data.datamodule import DataModule, Split
    from data.specification import ImageSpecification
    from engine.costs import Costs
    from engine.rehearsal import Output, Rehearsal
    from engine.run import Run

logger = logging.getLogger("firebox")

Result = Literal["passed", "refused", "not checked"]


class Unavailable(Exception):
    """What a guard asked for can't be had: what failed is reported, or it takes a rehearsal and there is none."""


class Preflight:
    """What guards look at. Nothing is read or computed before a guard asks for it.

    Args:
        configuration: of the run.
        trainer: that is to train; None: an Engine is used from Python.
        resumed: the directory of the run to continue; None: a new run.
        run: the run itself, where it has been assembled; None: it is rehearsed on fake tensors.
    """

    def __init__(
        self,
        configuration: Configuration,
        trainer: Trainer | None = None,
        *,
        resumed: RunDirectory | None = None,
        run: Run | None = None,
    ) -> None:
        self.configuration = configuration
        self.trainer = trainer
        self.resumed = resumed
        self.assembled = run is not None
        self.failures: list[Problem] = []
        """What could not be constructed."""
        self.step_failures: list[Problem] = []
        """Steps that fail."""
        self._run = run
        self._failed: set[str] = set()

    def problem(self, message: str, *path: str) -> Problem:
        """Makes a problem that stands at the place of a value.

        Args:
            message: what was given, what is expected, and a way out.
            path: of the value, such as ``"model", "latent_dim"`` or ``"handlers", "checkpoint", "monitor"``.
        """
        return Problem(".".join(path), message, self.configuration.place(*path))

    @cached_property
    def data(self) -> DataModule:
        """The datamodule or datagenerator; constructing one reads nothing."""
        if self._run is not None:
            return self._run.data
        with self._reporting(self.configuration.data.kind, "construct"):
            data: DataModule = self.configuration.data.named.build()
            return data

    @cached_property
    def specification(self) -> ImageSpecification:
        """Shape, range and classes of the data."""
        kind = self.configuration.data.kind
        data = self.data
        with self._reporting(kind, "specification"):
            return data.specification

    @cached_property
    def missing(self) -> str | None:
        """Which files of the data are not there, and where to put them; None: everything is there."""
        kind = self.configuration.data.kind
        data = self.data
        with self._reporting(kind, "missing"):
            return data.missing()

    @cached_property
    def split_lengths(self) -> dict[Split, int]:
        """How many samples each split has."""
        kind = self.configuration.data.kind
        data = self.data
        with self._reporting(kind, "split_lengths"):
            return dict(data.split_lengths)

    @cached_property
    def epoch_length(self) -> int:
        """Iterations in an epoch."""
        loading = self.configuration.data.loading
        length = self.split_lengths.get("train")
        if not isinstance(length, int) or length < 1:
            raise Unavailable
        batches = length // loading.batch_size if loading.drop_last else -(-length // loading.batch_size)
        if not batches:
            raise Unavailable
        return batches

    @property
    def total_iterations(self) -> int:
        """Iterations in the whole run."""
        return self.configuration.training.epochs * self.epoch_length

    @property
    def run(self) -> Run:
        """The run, assembled by the ordinary factory: the real one, or one on fake tensors."""
        return self._run if self._run is not None else self.rehearsal.run

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """The run on fake tensors."""
        if self.assembled:
            raise Unavailable
        specification, lengths, _ = self.specification, self.split_lengths, self.epoch_length
        if "rehearsal" in self._failed:
            raise Unavailable
        from engine.rehearsal import NEEDS_VALUES, Rehearsal

        try:
            return Rehearsal(self.configuration, specification, lengths)
        except Refusal as refusal:
            self._failed.add("rehearsal")
            if isinstance(refusal.__cause__, NEEDS_VALUES):
                self._not_rehearsed(refusal.problems[0].key, refusal.__cause__)
            else:
                self.failures += [self._located(problem) for problem in refusal.problems]
        except NEEDS_VALUES as error:
            self._failed.add("rehearsal")
            self._not_rehearsed("the run", error)
        except Exception as error:
            self._failed.add("rehearsal")
            logger.debug("the run can't be assembled", exc_info=True)
            self.failures.append(self.problem(f"can't be assembled: {in_one_line(error)}", "model"))
        raise Unavailable

    @cached_property
    def output(self) -> Output:
        """The model's output for a training batch."""
        output = self.rehearsal.output()
        if output is None:
            raise Unavailable
        return output

    @cached_property
    def costs(self) -> Costs:
        """What the run takes, from a training and an evaluation step of every batch size that will come."""
        rehearsal = self.rehearsal
        if "steps" in self._failed:
            raise Unavailable
        from engine.rehearsal import NEEDS_VALUES, StepFailure

        try:
            return rehearsal.steps()
        except StepFailure as failure:
            self._failed.add("steps")
            cause = failure.__cause__
            assert cause is not None
            if isinstance(cause, NEEDS_VALUES):
                self._not_rehearsed("model" if failure.of_model else "module", cause)
            else:
                logger.debug("%s fails", failure.step, exc_info=True)
                self.step_failures.append(self._step_problem(failure.step, cause, of_model=failure.of_model))
        raise Unavailable

    @property
    def output_activation(self) -> str | None:
        """What the model's output ends in, as it was seen or, without a rehearsal, as the model says; None: unknown."""
        declared = getattr(self.run.model, "output_activation", None)
        declared = declared if isinstance(declared, str) else None
        try:
            return self.output.activation or declared
        except Unavailable:
            return declared

    def _reporting(self, key: str, what: str) -> _Reporting:
        return _Reporting(self, key, what)

    def _step_problem(self, step: str, error: BaseException, *, of_model: bool) -> Problem:
        images = f"images of shape {self.specification.shape} of {self.configuration.data.named.written}"
        part = "model" if of_model else "module"
        message = f"{step} fails on {images}, expected a {part} that takes them: {in_one_line(error)}"
        return self.problem(message, part, "name")

    def _located(self, problem: Problem) -> Problem:
        """A constructor's ``parameter: text`` becomes a problem of that parameter, where it was written."""
        section, _, name = problem.key.partition(".")
        path = (section, name) if name else (section,)
        match = re.match(r"(?:\w+\.)?(\w+): (.+)", problem.message, re.DOTALL)
        named = self._named(section, name)
        if match is None or named is None or match[1] not in named.parameters:
            return Problem(problem.key, problem.message, problem.mark or self.configuration.place(*path))
        return self.problem(match[2], *path, match[1])

    def _named(self, section: str, name: str) -> Named | None:
        configuration = self.configuration
        if section == "handlers":
            return next((handler for handler in configuration.handlers if handler.written == name), None)
        sections: dict[str, Named | None] = {
            configuration.data.kind: configuration.data.named,
            "model": configuration.model,
            "module": configuration.module,
            "optimizer": configuration.optimizer,
            "scheduler": configuration.scheduler,
        }
        return sections.get(section)

    def _not_rehearsed(self, what: str, error: BaseException) -> None:
        reason = in_one_line(error)
        logger.warning("%s looks at the values of tensors, which a check before training has none of: %s", what, reason)


class _Reporting:
    """Turns what the user's code raises in a block into a failure that is reported once."""

    def __init__(self, preflight: Preflight, key: str, what: str) -> None:
        self._preflight = preflight
        self._key = key
        self._what = what

    def __enter__(self) -> None:
        if self._what in self._preflight._failed:
            raise Unavailable

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, Unavailable):
            return
        preflight = self._preflight
        preflight._failed.add(self._what)
        if self._what in ("specification", "split_lengths") and preflight.missing is not None:
            raise Unavailable from error  # that the files are missing is reported
        logger.debug("%s: %s fails", self._key, self._what, exc_info=error)
        mark = preflight.configuration.place(self._key, "name")
        preflight.failures.append(preflight._located(Problem(self._key, in_one_line(error), mark)))
        raise Unavailable from error


@dataclass(frozen=True, slots=True)
class Report:
    """What the guards found.

    Args:
        configuration: that was checked.
        results: the outcome and what it looks for, by guard.
        costs: what the run takes; None where its steps could not be rehearsed.
        kept: checkpoints that will be on the disk at once.
        free_memory: of the device, in bytes; None: unknown.
        free_disk: of the output folder, in bytes.
    """

    configuration: Configuration
    results: dict[str, tuple[Result, str]]
    costs: Costs | None
    kept: int
    free_memory: int | None
    free_disk: int

    def tables(self) -> list[Table]:
        """What was checked, for the shell."""
        from rich.table import Table

        guards = Table("guard", "result", "refuses", title=f"{len(self.results)} guards")
        for name, (result, concern) in self.results.items():
            guards.add_row(name, result, concern)
        if self.costs is None:
            return [guards]
        costs, batch = self.costs, self.configuration.data.loading.batch_size
        estimated = Table("estimated", "", title="what the run takes")
        estimated.add_row("parameters", f"{costs.parameters:,}, trained {costs.trained:,}")
        estimated.add_row("weights", size(costs.weights))
        estimated.add_row("gradients", size(costs.gradients))
        estimated.add_row("optimizer", size(costs.optimizer))
        estimated.add_row(f"activations, batch of {batch}", size(costs.activations))
        estimated.add_row("evaluation", size(costs.evaluation))
        if costs.data:
            estimated.add_row("data", size(costs.data))
        free = f" of {size(self.free_memory)} free" if self.free_memory is not None else ""
        estimated.add_row("memory", size(costs.memory) + free)
        disk = f"{self.kept} x {size(costs.checkpoint)} = {size(self.kept * costs.checkpoint)}"
        estimated.add_row("disk, checkpoints", f"{disk} of {size(self.free_disk)} free")
        return [guards, estimated]


def preflight(configuration: Configuration, trainer: Trainer, resumed: RunDirectory | None = None) -> Report:
    """Runs all guards; every problem of all of them comes in one refusal.

    Args:
        configuration: of the run.
        trainer: that is to train.
        resumed: the directory of the run to continue; None: a new run.

    Raises:
        Refusal: the combination can't work.
    """
    looked_at = Preflight(configuration, trainer, resumed=resumed)
    problems: list[Problem] = []
    results: dict[str, tuple[Result, str]] = {}
    for name, guard in [*built_in().items(), *own_guards(looked_at)]:
        found, complete = findings(guard, looked_at)
        problems += found
        result: Result = "refused" if found else "passed" if complete else "not checked"
        results[name] = (result, concern(guard))
    costs = _costs(looked_at)
    problems += looked_at.failures
    if not any(problem.key.partition(".")[0] in ("model", "module") for problem in problems):
        # A step that fails is often no more than what a guard has found, seen from within.
        problems += looked_at.step_failures
    refuse(in_order(problems))
    from engine.resources import checkpoints_kept, free_disk, free_memory

    kept = checkpoints_kept(configuration)
    return Report(configuration, results, costs, kept, free_memory(configuration), free_disk(configuration.directory))


def own_guards(preflight: Preflight) -> Iterator[tuple[str, Guard]]:
    """Yields the guards that the configuration lists among its handlers."""
    for named in preflight.configuration.handlers:
        if ":" not in named.name:
            continue
        with_key = f"handlers.{named.written}"
        try:
            kind = named.component.target.load()
            if isinstance(kind, type) and issubclass(kind, Guard):
                yield named.component.short_name, named.build()
        except Exception as error:
            logger.debug("%s can't be constructed", with_key, exc_info=True)
            preflight.failures.append(preflight._located(Problem(with_key, in_one_line(error), named.mark)))


def findings(guard: Guard, preflight: Preflight) -> tuple[list[Problem], bool]:
    """Returns what a guard finds, and whether it could look at all that it wanted to."""
    found: list[Problem] = []
    try:
        found.extend(guard.check(preflight))
    except Unavailable:
        return found, False
    except Exception as error:
        if type(guard).__module__.startswith("handlers.guards."):
            raise
        name = type(guard).__name__
        logger.debug("the guard %s fails", name, exc_info=True)
        found.append(Problem("handlers", f"the guard {name} fails: {in_one_line(error)}", None))
    return found, True


def concern(guard: Guard) -> str:
    """Returns the first line of a guard's docstring."""
    lines = (type(guard).__doc__ or "").strip().splitlines()
    return lines[0].removeprefix("Refuses ").removesuffix(".") if lines else ""


def size(amount: int) -> str:
    """Returns a number of bytes as it is read best."""
    value, units = float(amount), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _costs(preflight: Preflight) -> Costs | None:
    try:
        return preflight.costs
    except Unavailable:
        return None
