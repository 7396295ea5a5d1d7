"""The place in a configuration of what a component's constructor complains of."""

from __future__ import annotations

import re

from firebox.engine.configuration import Configuration, Named
from firebox.foundation.problems import Problem


def located(problem: Problem, configuration: Configuration) -> Problem:
    """Returns a problem where it was written: ``parameter: text``, as a constructor has it, at that parameter."""
    section, _, name = problem.key.partition(".")
    path = (section, name) if name else (section,)
    match = re.match(r"(?:\w+\.)?(\w+): (.+)", problem.message, re.DOTALL)
    named = _named(configuration, section, name)
    if match is None or named is None or match[1] not in named.parameters:
        return Problem(problem.key, problem.message, problem.mark or configuration.nearest_mark(*path))
    path = (*path, match[1])
    return Problem(".".join(path), match[2], configuration.nearest_mark(*path))


def _named(configuration: Configuration, section: str, name: str) -> Named | None:
    if section == "handlers":
        return next((handler for handler in configuration.handlers if handler.written == name), None)
    named = configuration.components.get(section)
    return None if named is None else named.parts.get(name, named)
