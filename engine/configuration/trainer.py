"""A trainer: a name, a default configuration, and what it accepts. It holds no training logic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firebox.foundation.package import shipped


@dataclass(frozen=True, slots=True)
class Trainer:
    """What a script in ``trainers/`` declares.

    Args:
        name: its short name in the catalogue.
        summary: one line on what it trains.
        configuration: its default configuration, by its path in the package.
        models: short names of the models it accepts; a model given by import path or file is accepted by its interface.
        modules: short names of the modules it accepts.
    """

    name: str
    summary: str
    configuration: str
    models: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def default(self) -> Path:
        """The default configuration's file, as it is shown."""
        return shipped(self.configuration)
