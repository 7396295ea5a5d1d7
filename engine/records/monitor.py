"""Which of a run's checkpoints is the best, as the run's own checkpoint handler has it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firebox.engine.records.checkpoints import Manifest

if TYPE_CHECKING:
    from firebox.engine.configuration import Configuration


@dataclass(frozen=True, slots=True)
class Monitor:
    """A metric and which of its values is better.

    Args:
        metric: such as ``validation/loss``.
        mode: min or max.
    """

    metric: str
    mode: str

    def rank(self, value: float) -> float:
        """Returns a number that is smaller the better the value is; NaN is worst."""
        if math.isnan(value):
            return math.inf
        return value if self.mode == "min" else -value


def monitor_of(configuration: Configuration) -> Monitor | None:
    """Returns what the handler watches that keeps the run's checkpoints; None if there is no such handler.

    What a handler is, its source says: listing runs imports nobody's code.
    """
    for named in configuration.handlers:
        attributes = named.component.signature.attributes
        if attributes.get("keeps") and attributes.get("watches"):
            metric, mode = (named.parameters.get(setting) for setting in attributes["watches"])
            if isinstance(metric, str) and isinstance(mode, str):
                return Monitor(metric, mode)
    return None


def ranked(manifests: Iterable[Manifest], monitor: Monitor) -> list[Manifest]:
    """Returns those that a finite value was measured at, best first; of equal ones the earlier."""
    measured = [m for m in manifests if math.isfinite(m.metrics.get(monitor.metric, math.nan))]
    return sorted(measured, key=lambda manifest: monitor.rank(manifest.metrics[monitor.metric]))


def best_of(manifests: Iterable[Manifest], monitor: Monitor) -> Manifest | None:
    """Returns the best of those that a finite value was measured at; None: there is none."""
    return next(iter(ranked(manifests, monitor)), None)
