"""What takes a part of the run, against the length of the run."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.intervals import iterations
from firebox.foundation.problems import Problem

MOST_ITERATIONS = 1 << 53
"""The largest number up to which every integer is a float, too; schedules compute in floats."""


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
        scheduler, epochs = preflight.configuration.scheduler, preflight.configuration.training.epochs
        if scheduler is None:
            return
        total = preflight.total_iterations
        warmup = scheduler.parameters.get("warmup")
        if isinstance(warmup, str) and iterations(warmup, preflight.epoch_length) >= total:
            message = f"got {warmup}, but the whole run has {total} iterations ({epochs} epochs)"
            yield preflight.problem(f"{message}; expected less, or more training.epochs", "scheduler", "warmup")
        milestones = scheduler.parameters.get("milestones")
        if isinstance(milestones, list) and milestones and isinstance(milestones[-1], tuple):
            last = milestones[-1][0]
            if last > epochs:
                message = f"the last one is at epoch {last:g}, but training.epochs is {epochs}"
                yield preflight.problem(f"{message}; expected all of them within the run", "scheduler", "milestones")


class Warmup(Guard):
    """Refuses a module's warm-up that the run ends before."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        warmup, total = preflight.configuration.module.parameters.get("warmup_iterations"), preflight.total_iterations
        if isinstance(warmup, int) and warmup > total:
            epochs = preflight.configuration.training.epochs
            message = (
                f"got {warmup}, but the whole run has {total} iterations ({epochs} epochs): its end is never reached"
            )
            yield preflight.problem(f"{message}; expected at most {total}", "module", "warmup_iterations")


class StoppingInWarmup(Guard):
    """Refuses early stopping that can end the run inside a module's warm-up."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        warmup = configuration.module.parameters.get("warmup_iterations")
        evaluation = next((n for n in configuration.handlers if n.component.short_name == "evaluation"), None)
        if not isinstance(warmup, int) or not warmup or evaluation is None:
            return
        period = iterations(evaluation.parameters["every"], preflight.epoch_length)
        for named in configuration.handlers:
            patience = named.parameters.get("patience")
            if named.component.target.module != "firebox.handlers.early_stopping" or not isinstance(patience, int):
                continue
            if patience * period < warmup:
                message = (
                    f"got {patience} evaluations, {patience * period} iterations, but module.warmup_iterations is "
                )
                message += f"{warmup}: a loss whose weights still change would end the run"
                expected = f"expected {-(-warmup // period)} or more"
                yield preflight.problem(f"{message}; {expected}", "handlers", named.written, "patience")
