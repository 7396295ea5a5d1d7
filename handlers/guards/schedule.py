"""Guards that compare schedules and warm-ups with the length of the run."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.intervals import iterations
from firebox.foundation.problems import Problem
from firebox.handlers.early_stopping import EarlyStopping
from firebox.handlers.evaluation import Evaluation
from firebox.handlers.schedules.schedule import Schedule

MOST_ITERATIONS = 1 << 53
"""The largest number up to which every integer is exact as a float; schedules compute in floats."""


class RunLength(Guard):
    """Refuses more iterations than can be counted."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        total = preflight.total_iterations
        if total > MOST_ITERATIONS:
            epochs = MOST_ITERATIONS // preflight.epoch_length
            message = f"got {preflight.configuration.training.epochs}, expected at most {epochs}"
            yield preflight.problem(message, "training", "epochs")


class ScheduleLength(Guard):
    """Refuses a learning-rate schedule whose warm-up or milestones lie beyond the run."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        epochs, epoch_length = preflight.configuration.training.epochs, preflight.epoch_length
        for attached in preflight.handlers_of(Schedule):
            schedule = preflight.built(attached)
            if isinstance(schedule, Schedule):
                for setting, message in schedule.beyond(epochs=epochs, epoch_length=epoch_length).items():
                    yield preflight.problem(message, *attached.path, setting)


class Warmup(Guard):
    """Refuses a module's warm-up that the run ends before."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        warmup, total = preflight.run.module.warmup_iterations, preflight.total_iterations
        if warmup > total:
            epochs = preflight.configuration.training.epochs
            given = f"got {warmup}, but the whole run has {total} iterations ({epochs} epochs)"
            message = f"{given}: its end is never reached; expected at most {total}"
            yield preflight.problem(message, *warmup_key(preflight))


class StoppingInWarmup(Guard):
    """Refuses early stopping that can end the run inside a module's warm-up."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        warmup = preflight.run.module.warmup_iterations
        every = next((e.named.parameters.get("every") for e in preflight.handlers_of(Evaluation)), None)
        if not warmup or every is None:
            return
        period = iterations(every, preflight.epoch_length)
        for attached in preflight.handlers_of(EarlyStopping):
            patience = attached.named.parameters.get("patience")
            if patience is not None and patience * period < warmup:
                given = f"got {patience} evaluations, {patience * period} iterations"
                why = f"module.warmup_iterations is {warmup}: a loss whose weights still change would end the run"
                expected = f"expected {-(-warmup // period)} or more"
                yield preflight.problem(f"{given}, but {why}; {expected}", *attached.path, "patience")


def warmup_key(preflight: Preflight) -> tuple[str, str]:
    """Returns the key of the module's warm-up length; the key of the module's name if it has no such setting."""
    settings = preflight.configuration.module.parameters
    return "module", "warmup_iterations" if "warmup_iterations" in settings else "name"
