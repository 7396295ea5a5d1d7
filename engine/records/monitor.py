"""The choice of a run's best checkpoint, by the criterion of its own checkpoint handler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.engine.components.catalogue import catalogue
from firebox.engine.configuration.values import handlers_of, said_of
from firebox.engine.records.checkpoints import Manifest

if TYPE_CHECKING:
    from firebox.engine.configuration import Configuration


@dataclass(frozen=True, slots=True)
class Monitor:
    """A metric, and whether lower or higher values of it are better.

    Args:
        metric: the metric's name, such as ``validation/loss``.
        mode: ``min`` if lower values are better, ``max`` if higher ones are.
    """

    metric: str
    mode: str

    def rank(self, value: float) -> float:
        """Returns a sort key: the better the value, the smaller the key; NaN is worst."""
        if math.isnan(value):
            return math.inf
        return value if self.mode == "min" else -value


def monitor_of(configuration: Configuration) -> Monitor | None:
    """Returns what the handler watches that keeps the run's checkpoints; None if there is no such handler."""
    found = (_watched(named.component.signature.attributes, named.parameters) for named in configuration.handlers)
    return next((monitor for monitor in found if monitor is not None), None)


def recorded_monitor(values: dict[str, Any], path: Path) -> Monitor | None:
    """Returns the same from what a run recorded, where nothing may be imported: what a handler is, its source says.

    Args:
        values: of the recorded configuration.
        path: of its file.
    """
    handlers, known = handlers_of(values), catalogue("handler")
    found = (_watched(said_of(name, known, path), settings) for name, settings in handlers.items())
    return next((monitor for monitor in found if monitor is not None), None)


def _watched(attributes: Mapping[str, Any], settings: Mapping[str, Any]) -> Monitor | None:
    names = attributes.get("watches")
    if not attributes.get("keeps") or not isinstance(names, tuple) or len(names) != 2:
        return None
    metric, mode = (settings.get(name) for name in names)
    return Monitor(metric, mode) if isinstance(metric, str) and isinstance(mode, str) else None


def ranked(manifests: Iterable[Manifest], monitor: Monitor) -> list[Manifest]:
    """Returns the manifests with a finite value of the metric, best first, and the earlier first among equals."""
    measured = [m for m in manifests if math.isfinite(m.metrics.get(monitor.metric, math.nan))]
    return sorted(measured, key=lambda manifest: monitor.rank(manifest.metrics[monitor.metric]))


def best_of(manifests: Iterable[Manifest], monitor: Monitor) -> Manifest | None:
    """Returns the best manifest with a finite value of the metric; None if there is none."""
    return next(iter(ranked(manifests, monitor)), None)
