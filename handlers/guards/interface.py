"""Guards for the methods and attributes of a model that a module needs."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.training.interface import lacking
from firebox.foundation.problems import Problem


class Interface(Guard):
    """Refuses a model that lacks what the module calls."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        yield from lacking(preflight.configuration, preflight.run.module)
