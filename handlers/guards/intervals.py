"""Guards that compare the intervals of handlers with the length of the run."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.training.bases.handler import Handler
from firebox.foundation.intervals import iterations
from firebox.foundation.problems import Problem


class Intervals(Guard):
    """Refuses a handler that would act less than once in the run."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:  # a run assembled in Python may call a handler by hand
            return
        configuration, total = preflight.configuration, preflight.total_iterations
        for attached in preflight.handlers_of(Handler):
            value = attached.named.parameters.get("every")
            default = attached.named.default("every") if value is not None else None
            # A default interval that is longer than a short run is not the user's mistake.
            if not isinstance(value, str) or value == default:
                continue
            try:
                period = iterations(value, preflight.epoch_length)
            except ValueError:
                continue
            if period > total:
                epochs = configuration.training.epochs
                message = f"got {value}, but the whole run has {total} iterations ({epochs} epochs): it would never act"
                yield preflight.problem(f"{message}; expected at most {epochs} epochs", *attached.path, "every")
