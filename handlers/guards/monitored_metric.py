"""The metric that a handler watches: whether it exists, and which way is better."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.configuration import Named
from firebox.foundation.problems import Problem, suggestion

logger = logging.getLogger("firebox")

BETTER = {"loss": "min", "reconstruction": "min", "psnr": "max", "ssim": "max", "accuracy": "max"}
"""Which way metrics get better whose name leaves no doubt."""


class MonitoredMetric(Guard):
    """Refuses to watch a metric that nothing produces."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        for path, named in monitoring(preflight):
            monitor = named.parameters["monitor"]
            split = monitor.partition("/")[0]
            why = _nothing_evaluated(preflight, split)
            if why is None:
                known = [f"validation/{metric}" for metric in metrics(preflight)]
                if monitor in known:
                    continue
                module = configuration.module.component.short_name
                why = f"the module {module} does not produce it; {suggestion(monitor, known)}"
            default = named.component.signature.parameters.model_fields["monitor"].default
            if monitor == default and named.component.target.module == "firebox.handlers.checkpoint":
                # Nobody asked for it: without it the newest checkpoints are kept all the same.
                if not preflight.assembled:
                    logger.warning("%s: no best checkpoint will be kept: %s", ".".join(path), why)
                continue
            yield preflight.problem(f"got {monitor}, but {why}", *path, "monitor")


class MonitorMode(Guard):
    """Refuses to take the worst value of a metric for its best."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:  # who assembles a run in Python may watch what a configuration has no use for
            return
        for path, named in monitoring(preflight):
            monitor, mode = named.parameters["monitor"], named.parameters.get("mode")
            better = BETTER.get(monitor.rpartition("/")[2])
            if better is not None and mode is not None and mode != better:
                key = ".".join((*path, "mode"))
                message = f"got {mode}, but {'more' if better == 'max' else 'less'} of {monitor} is better"
                yield preflight.problem(f"{message}; expected {better}: --set {key}={better}", *path, "mode")


def monitoring(preflight: Preflight) -> Iterator[tuple[tuple[str, ...], Named]]:
    """Yields the handlers that watch a metric, and the keys of their sections."""
    configuration = preflight.configuration
    parts: list[tuple[tuple[str, ...], Named]] = [
        (("handlers", named.written), named) for named in configuration.handlers
    ]
    if configuration.scheduler is not None:
        parts.append((("scheduler",), configuration.scheduler))
    for path, named in parts:
        unused = named.parameters.get("keep_best") == 0
        if isinstance(named.parameters.get("monitor"), str) and not unused:
            yield path, named


def metrics(preflight: Preflight) -> list[str]:
    """Returns the names of the module's metrics that are single numbers."""
    import torch
    from ignite.metrics import ConfusionMatrix

    found = preflight.run.module.metrics(torch.device("cpu"))
    return [name for name, metric in found.items() if not isinstance(metric, ConfusionMatrix)]


def _nothing_evaluated(preflight: Preflight, split: str) -> str | None:
    """Why there are no metrics of a split while the run trains; None: there are."""
    configuration = preflight.configuration
    data = configuration.data
    if split == "train":
        return "the training split is not evaluated; expected a metric of the validation split"
    if split == "test":
        return "the test split is evaluated at the end only; expected a metric of the validation split"
    if split != "validation":
        return "its name has no split; expected validation/ and a metric's name"
    if not preflight.split_lengths.get("validation"):
        return f"{data.named.written} has no validation split; expected {data.kind}.validation_fraction above 0"
    if not any(named.component.target.module == "firebox.handlers.evaluation" for named in configuration.handlers):
        return "the handler evaluation is left out; expected it among the handlers"
    return None
