"""Guards for the checkpoint from which a run is resumed, and for the learning rate with which it continues."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from firebox.engine.checks.attached import Attached
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.configuration.values import recorded_epochs
from firebox.engine.training.run import Run
from firebox.foundation.problems import Problem, setting
from firebox.handlers.schedules.schedule import Schedule

logger = logging.getLogger("firebox")


class ResumedModel(Guard):
    """Refuses a checkpoint of another model."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.resumed is None:
            return
        from firebox.engine.records import checkpoints

        differing: str | None = None
        folder = preflight.resumed.checkpoints
        for path in [checkpoints.path_of(folder, number) for number in reversed(checkpoints.iterations_in(folder))]:
            try:
                saved = _shapes(checkpoints.load(path, "meta")["model"])
            except (checkpoints.DamagedCheckpoint, KeyError, AttributeError):
                continue  # an earlier checkpoint is used, or the run is refused when the checkpoint is loaded
            found = _difference(saved, _shapes(preflight.run.model.state_dict()))
            if found is None:
                return
            differing = differing or f"{path} is of another model: {found}; expected the run's own checkpoint"
        if differing is not None:
            yield preflight.problem(differing, "model", "name")


class ResumedSchedule(Guard):
    """Refuses nothing; warns where another number of epochs gives a resumed run another learning rate."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        yield from ()
        if preflight.resumed is None:
            return
        from firebox.engine.records import checkpoints

        manifests = checkpoints.valid_manifests(preflight.resumed.checkpoints)
        if not manifests or manifests[-1].iteration >= preflight.total_iterations:
            return
        before, now = recorded_epochs(preflight.resumed.configuration), preflight.run
        if before and before != now.configuration.training.epochs:
            for attached in preflight.handlers_of(Schedule):
                was, will = preflight.built(attached), preflight.built(attached)
                if isinstance(was, Schedule) and isinstance(will, Schedule):
                    initial = _initial_rate(now, attached)
                    key = f"{'.'.join(attached.path)}: {attached.named.component.short_name}"
                    _compare(key, was, will, _lasting(now, before), now, manifests[-1].iteration, initial)


def _lasting(run: Run, epochs: int) -> Run:
    """Returns a copy of a run in which only the number of epochs differs."""
    training = run.configuration.training.model_copy(update={"epochs": epochs})
    return replace(run, configuration=replace(run.configuration, training=training))


def _initial_rate(run: Run, attached: Attached) -> float:
    """Returns the rate that a schedule begins from: that of the first optimizer that it sets."""
    optimizers = run.update.optimizers
    part = attached.path[2:] or [name for name in optimizers if name not in run.configuration.scheduler_parts]
    return float(optimizers[next(iter(part), next(iter(optimizers)))].defaults["lr"])


def _compare(name: str, was: Schedule, now: Schedule, before: Run, run: Run, step: int, initial: float) -> None:
    """Warns if a schedule's rate after the given number of updates differs between a run and the earlier one."""
    was.prepare(before)
    now.prepare(run)
    last = min(step, before.total_iterations - 1)
    old, new = was.rate(last, initial), now.rate(step, initial)
    if old == now.rate(last, initial):
        return
    epochs, earlier = run.configuration.training.epochs, before.configuration.training.epochs
    shorter = f"where a run of {earlier} epochs has {old:.3g}"
    instead = f"after {old:.3g} at the end of epoch {earlier}" if last < step else shorter
    constant = f"{{name: piecewise_linear, milestones: [[0, {old!r}]]}}"
    logger.warning(
        "%s spans the whole run, now %d epochs: the learning rate is %.3g at iteration %d, %s; "
        "to keep it at that: %s --allow-change scheduler",
        *(name, epochs, new, step + 1, instead, setting("scheduler", constant)),
    )


def _shapes(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the shapes of a model's tensors by name, and the types of other values."""
    return {name: tuple(value.shape) if hasattr(value, "shape") else "no tensor" for name, value in state.items()}


def _difference(saved: Mapping[str, Any], built: Mapping[str, Any]) -> str | None:
    names = saved.keys() | built.keys()
    differing = sorted(name for name in names if saved.get(name) != built.get(name))
    if not differing:
        return None
    first = differing[0]
    return (
        f"{first} is {saved.get(first, 'absent')} there, {built.get(first, 'absent')} here "
        f"({len(differing)} of {len(names)} differ)"
    )
