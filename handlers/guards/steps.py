"""Guards for a module's steps and metrics: a run must be able to train with them and to record them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, in_one_line
from firebox.handlers.guards.monitored_metric import watchers

logger = logging.getLogger("firebox")


class Steps(Guard):
    """Refuses a module that updates nothing, or whose steps return what can't be recorded."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        for fault in preflight.module_faults:
            yield preflight.problem(fault, "module", "name")


class Metrics(Guard):
    """Refuses an evaluation without the metric loss, and names of metrics that can't be recorded."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        import torch

        from firebox.engine.training.steps.terms import faults_of_names

        if preflight.assembled:
            return
        found = preflight.run.module.metrics(torch.device("cpu"))
        if "loss" not in found:
            given = ", ".join(map(str, found)) or "none"
            message = f"its metrics are {given}, expected loss among them: the mean over all samples"
            yield preflight.problem(message, "module", "name")
        for fault in faults_of_names("metric", found):
            yield preflight.problem(fault, "module", "name")


class MonitoredNumber(Guard):
    """Refuses to watch a metric that is no single number."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from firebox.engine.training.steps.terms import is_number

        watched = list(watchers(preflight))
        evaluated = preflight.rehearsal.evaluated() if watched else None
        if evaluated is None:
            return
        for watcher in watched:
            value = self._value(preflight, watcher.metric.partition("/")[2], evaluated)
            if value is not None and not is_number(value):
                shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
                message = (
                    f"got {watcher.metric}, whose value is a {type(value).__name__}{shape}, expected a single number"
                )
                yield preflight.problem(message, *watcher.handler.path, watcher.key)

    def _value(self, preflight: Preflight, name: str, evaluated: object) -> object:
        """Returns a metric's value for an evaluation; None if it is missing or can't be computed from fake values."""
        import torch
        from ignite.engine import Engine

        engine = Engine(lambda *_: evaluated)
        engine.logger.setLevel(logging.CRITICAL)
        try:
            preflight.run.module.metrics(torch.device("cpu"))[name].attach(engine, name)
            with torch.inference_mode():
                return engine.run([None]).metrics[name]
        except Exception as error:
            logger.debug("the metric %s can't be rehearsed: %s", name, in_one_line(error))
            return None
