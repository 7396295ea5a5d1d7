"""Recomputes any single iteration of a run."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from firebox.data.sources.batch import Batch
from firebox.engine.checks.report import preflight_of_replay
from firebox.engine.configuration import Configuration
from firebox.engine.records import checkpoints
from firebox.engine.records.data_record import known_data
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.bases.ownership import StateMismatch
from firebox.engine.training.construction import blamed
from firebox.engine.training.factory import build, trains
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.foundation.problems import Problem, Refusal

logger = logging.getLogger("firebox")


@dataclass(frozen=True, slots=True)
class Replayed:
    """The results of a recomputed iteration.

    Args:
        row: the iteration's losses and learning rate.
        recorded: the row that the run itself recorded; None if it did not get that far.
        gradient_norms: the norm of all gradients that the optimizer was to step with, by its name.
        non_finite: the losses, and the parameters whose gradients, are NaN or infinite.
        batch: the augmented batch that the model was given.
        shown: the batch's images, in [0, 1].
        started_from: the iteration of the checkpoint that the replay began at; 0 for the initialisation.
    """

    row: Row
    recorded: dict[str, Any] | None
    gradient_norms: dict[str, float]
    non_finite: tuple[str, ...]
    batch: Batch
    shown: torch.Tensor
    started_from: int

    @property
    def equal(self) -> bool:
        """Whether every loss is the one recorded, to the last bit; NaN and infinities are recorded as null."""
        if self.recorded is None:
            return False
        finite = {name: value if abs(value) < float("inf") else None for name, value in self.row.losses.items()}
        return all(self.recorded.get(name) == value for name, value in finite.items())


def replay(configuration: Configuration, directory: RunDirectory, iteration: int) -> Replayed:
    """Recomputes an iteration, starting from the nearest checkpoint before it.

    Args:
        configuration: the run's configuration.
        directory: the run's directory.
        iteration: the iteration to recompute, starting at 1.

    Raises:
        Refusal: the run has no such iteration, or can't be made here.
    """
    configuration = dataclasses.replace(configuration, handlers=tuple(filter(trains, configuration.handlers)))
    preflight_of_replay(configuration)
    environment = _environment(directory, iteration)
    threads = environment.get("threads")
    if configuration.training.threads is None and isinstance(threads, int) and threads > 0:
        torch.set_num_threads(threads)  # torchrun gives each process one, where a process by itself has many
    run = build(configuration)
    if not 1 <= iteration <= run.total_iterations:
        message = f"got {iteration}, expected 1 to {run.total_iterations}: the run's iterations"
        raise Refusal([Problem("", f"--iteration: {message}")])
    _refuse_other_data(run, directory, iteration)
    _compare_devices(run, environment, iteration)
    started_from = _load_before(run, directory, iteration)
    with tempfile.TemporaryDirectory() as elsewhere:
        run.begin(RunDirectory(Path(elsewhere)))
        for handler in run.handlers.values():
            handler.start(run)
        return _replay(run, directory, iteration, started_from)


def _refuse_other_data(run: Run, directory: RunDirectory, iteration: int) -> None:
    kind = run.configuration.data.kind
    with blamed(run.configuration.data.named, kind):
        now = run.identity.fingerprint
    # Of a run whose data has changed, the newest comes first; each was trained on from an iteration on.
    known = next((known for known in known_data(directory) if known.since < iteration), None)
    changes = None if known is None else known.changes_to(now, f"iteration {iteration}")
    if changes is not None:
        raise Refusal([Problem(kind, f"{changes}; put it back", run.configuration.mark(kind, "name"))])


def _environment(directory: RunDirectory, iteration: int) -> dict[str, Any]:
    """Returns the record of the environment that an iteration was made in; an empty one if it is not known."""
    try:
        newest = json.loads(directory.environment.read_text())
        # Of a run that was resumed, the newest comes first; each goes on from where the one before it was left.
        return dict(next(each for each in [newest, *newest.get("earlier", [])] if each["resumed_at"] < iteration))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return {}


def _compare_devices(run: Run, environment: dict[str, Any], iteration: int) -> None:
    """Says where an iteration was recorded if it was on another kind of device."""
    if not {"device", "device_name"} <= environment.keys():
        return
    device, name = str(environment["device"]), str(environment["device_name"])
    if device.partition(":")[0] != run.device.type:
        logger.warning(
            "iteration %d was recorded on %s (%s) and is recomputed on %s: the last bits may differ; "
            "expected equal losses on %s alone",
            iteration,
            device,
            name,
            run.device,
            device,
        )


def _load_before(run: Run, directory: RunDirectory, iteration: int) -> int:
    for earlier in reversed(checkpoints.iterations_in(directory.checkpoints)):
        if earlier < iteration:
            try:
                run.load_state_dict(checkpoints.load(checkpoints.path_of(directory.checkpoints, earlier), run.device))
            except checkpoints.DamagedCheckpoint:
                continue
            except StateMismatch as error:
                way_out = "give the part back the form that it was saved in"
                raise Refusal([Problem("", f"{directory.path} can't be replayed: {error}; {way_out}")]) from None
            return earlier
    return 0


def _replay(run: Run, directory: RunDirectory, iteration: int, started_from: int) -> Replayed:
    rows: list[Row] = []
    norms: dict[str, float] = {}
    non_finite: list[str] = []
    names = {parameter: name for name, parameter in run.model.named_parameters()}
    run.losses.subscribe(rows.extend)

    def measure(name: str) -> None:
        if run.trainer.state.iteration == iteration:
            groups = run.update.optimizers[name].param_groups
            stepped = {p: p.grad for group in groups for p in group["params"] if p.grad is not None}
            norms[name] = float(torch.nn.utils.get_total_norm(stepped.values()))
            for parameter, gradient in stepped.items():
                if not gradient.isfinite().all():
                    non_finite.append(f"the gradient of {names.get(parameter, f'a parameter of {name}')}")

    for name, optimizer in run.update.optimizers.items():
        optimizer.register_step_pre_hook(lambda *_, name=name: measure(name))

    def stop(trainer: Engine) -> None:
        if trainer.state.iteration == iteration:
            trainer.terminate()

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    try:
        run.trainer.run(run.streams["train"])
    finally:
        run.training.close()
    run.losses.settle()
    batch = run.training.prepared(iteration, run.streams["train"].read(iteration - 1))
    shown = run.data.specification.to_unit(batch.images)
    broken = (*(name for name, value in rows[-1].losses.items() if not math.isfinite(value)), *non_finite)
    return Replayed(rows[-1], recorded_row(directory, iteration), norms, broken, batch, shown, started_from)


def recorded_row(directory: RunDirectory, iteration: int) -> dict[str, Any] | None:
    """Returns the row of a training iteration in ``losses.jsonl``; None if there is none."""
    if not directory.losses.is_file():
        return None
    with directory.losses.open(encoding="utf-8") as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            if row["iteration"] == iteration and row["split"] == "train":
                return row
    return None
