"""The methods and attributes of a model that its module needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from firebox.engine.configuration import Configuration
from firebox.engine.training.bases.module import Module
from firebox.engine.training.construction import blamed
from firebox.foundation.problems import Problem, Refusal, refuse


def lacking(configuration: Configuration, module: Module) -> list[Problem]:
    """Returns what is wrong with a model that lacks what its module calls; nothing if it has all."""
    names = [name for name in module.requires if not hasattr(module.model, name)]
    if not names:
        return []
    model, trained_by = configuration.model.component.short_name, configuration.module.component.short_name
    needs = ", ".join(module.requires)
    message = f"got {model}, which lacks {', '.join(names)}; the module {trained_by} expects a model with {needs}"
    return [Problem("model.name", message, configuration.nearest_mark("model", "name"))]


@contextmanager
def asked(configuration: Configuration, module: Module) -> Iterator[None]:
    """Refuses what a module raises in the block: with what its model lacks, or else with the error."""
    try:
        with blamed(configuration.module, "module"):
            yield
    except Refusal:
        refuse(lacking(configuration, module))
        raise
