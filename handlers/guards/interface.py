"""Guards for the methods and attributes of a model that a module needs."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem


class Interface(Guard):
    """Refuses a model that lacks what the module calls."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        run, configuration = preflight.run, preflight.configuration
        lacking = [name for name in run.module.requires if not hasattr(run.model, name)]
        if lacking:
            module, model = configuration.module.component.short_name, configuration.model.component.short_name
            needs = ", ".join(run.module.requires)
            message = f"got {model}, which lacks {', '.join(lacking)}; the module {module} expects a model with {needs}"
            yield preflight.problem(message, "model", "name")
