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
    """Returns what the run's checkpoint handler monitors; None: it has no such handler."""
    for named in configuration.handlers:
        if named.component.short_name == "checkpoint" and "monitor" in named.parameters:
            return Monitor(named.parameters["monitor"], named.parameters["mode"])
    return None


def ranked(manifests: Iterable[Manifest], monitor: Monitor) -> list[Manifest]:
    """Returns those that a finite value was measured at, best first; of equal ones the earlier."""
    measured = [m for m in manifests if math.isfinite(m.metrics.get(monitor.metric, math.nan))]
    return sorted(measured, key=lambda manifest: monitor.rank(manifest.metrics[monitor.metric]))


def best_of(manifests: Iterable[Manifest], monitor: Monitor) -> Manifest | None:
    """Returns the best of those that a finite value was measured at; None: there is none."""
    return next(iter(ranked(manifests, monitor)), None)
