"""Guards for the metric that a handler watches: whether it exists, and whether lower or higher is better."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from firebox.engine.checks.attached import Attached
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.training.bases.handler import Handler
from firebox.foundation.problems import Problem, suggestion
from firebox.handlers.checkpoint import Checkpoint
from firebox.handlers.evaluation import Evaluation

logger = logging.getLogger("firebox")

BETTER = {
    **dict.fromkeys(("loss", "reconstruction", "fd_cnn", "dead_codes"), "min"),
    **dict.fromkeys(("psnr", "ssim", "accuracy", "mean_iou", "mean_dice", "mean_r2", "mean_ap", "mean_f1"), "max"),
    **dict.fromkeys(("precision", "recall"), "max"),
}
"""Whether lower or higher is better, for metrics whose names leave no doubt."""


class MonitoredMetric(Guard):
    """Refuses to watch a metric that nothing produces."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        for watcher in watchers(preflight):
            split = watcher.metric.partition("/")[0]
            why = _nothing_evaluated(preflight, split)
            if why is None:
                known = [f"validation/{metric}" for metric in metrics(preflight)]
                if watcher.metric in known:
                    continue
                module = configuration.module.component.short_name
                why = f"the module {module} does not produce it; {suggestion(watcher.metric, known)}"
            handler = watcher.handler
            if issubclass(handler.kind, Checkpoint) and watcher.metric == handler.named.default(watcher.key):
                # The user did not ask for the metric: without it, the newest checkpoints are still kept.
                if not preflight.assembled:
                    logger.warning("%s: no best checkpoint will be kept: %s", ".".join(handler.path), why)
                continue
            yield preflight.problem(f"got {watcher.metric}, but {why}", *handler.path, watcher.key)


class MonitorMode(Guard):
    """Refuses to take the worst value of a metric for its best."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:  # a run assembled in Python may watch what a configuration would not
            return
        for watcher in watchers(preflight):
            metric, mode = watcher.metric, watcher.handler.named.parameters.get(watcher.mode_key)
            better = BETTER.get(metric.rpartition("/")[2])
            if better is not None and mode is not None and mode != better:
                path = (*watcher.handler.path, watcher.mode_key)
                message = f"got {mode}, but {'more' if better == 'max' else 'less'} of {metric} is better"
                yield preflight.problem(f"{message}; expected {better}: --set {'.'.join(path)}={better}", *path)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A handler that watches a metric.

    Args:
        handler: name of the handler.
        metric: name of the metric, such as ``validation/loss``.
        key: key of the setting that names the metric.
        mode_key: key of the setting that says whether lower or higher is better.
    """

    handler: Attached
    metric: str
    key: str
    mode_key: str


def watchers(preflight: Preflight) -> Iterator[Watcher]:
    """Yields the handlers that watch a metric."""
    for handler in preflight.handlers_of(Handler):
        if handler.kind.watches is None:
            continue
        key, mode_key = handler.kind.watches
        parameters = handler.named.parameters
        unused = issubclass(handler.kind, Checkpoint) and parameters.get("keep_best") == 0
        if isinstance(parameters.get(key), str) and not unused:
            yield Watcher(handler, parameters[key], key, mode_key)


def metrics(preflight: Preflight) -> list[str]:
    """Returns the names of the metrics of the module, and of those that handlers add, that are single numbers."""
    import torch
    from ignite.metrics import ConfusionMatrix

    found = preflight.run.module.metrics(torch.device("cpu"))
    added = [
        name
        for attached in preflight.handlers_of(Handler)
        if "validation" in attached.named.parameters.get("splits", ())
        for name in attached.kind.measures
    ]
    return [name for name, metric in found.items() if not isinstance(metric, ConfusionMatrix)] + added


def _nothing_evaluated(preflight: Preflight, split: str) -> str | None:
    """Returns why a split has no metrics while the run trains; None if it has some."""
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
    if not preflight.handlers_of(Evaluation):
        return "the handler evaluation is left out; expected it among the handlers"
    return None
