"""Which of a run's checkpoints is the best, as the run's own checkpoint handler has it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.checkpoints import Manifest

if TYPE_CHECKING:
    from engine.configuration import Configuration


@dataclass(frozen=True, slots=True)
class Monitor:
    """A metric and which of its values is better.

    Args:
        metric: such as ``validation/loss``.
        mode: min or max.
    """

    metric: str
    mode: str


def monitor_of(configuration: Configuration) -> Monitor | None:
    """Returns what the run's checkpoint handler monitors; None: it has no such handler."""
    for named in configuration.handlers:
        if named.component.short_name == "checkpoint" and "monitor" in named.parameters:
            return Monitor(named.parameters["monitor"], named.parameters["mode"])
    return None


def best_of(manifests: Iterable[Manifest], monitor: Monitor) -> Manifest | None:
    """Returns the best of those that a finite value was measured at; of equal ones the first; None: there is none."""
    measured = [m for m in manifests if math.isfinite(m.metrics.get(monitor.metric, math.nan))]
    sign = 1 if monitor.mode == "min" else -1
    return min(measured, key=lambda manifest: sign * manifest.metrics[monitor.metric], default=None)
