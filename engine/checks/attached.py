"""A handler with the place in the configuration that names it."""

from __future__ import annotations

from dataclasses import dataclass

from firebox.engine.configuration import Named
from firebox.engine.training.bases.handler import Handler


@dataclass(frozen=True, slots=True)
class Attached:
    """A handler, or the learning-rate schedule, that the configuration names.

    Args:
        path: the keys that lead to its section, such as ``"handlers", "checkpoint"``.
        named: the component and its settings.
        kind: the component's class.
    """

    path: tuple[str, ...]
    named: Named
    kind: type[Handler]
