"""A trainer: a name, a default configuration, and the models and modules that it accepts; no training logic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firebox.foundation.package import shipped


@dataclass(frozen=True, slots=True)
class Trainer:
    """The declaration of a script in ``trainers/``.

    Args:
        name: short name in the catalogue.
        summary: one line on what it trains.
        configuration: path of its default configuration in the package.
        models: short names of the accepted models; a model given by import path or file only needs the right interface.
        modules: short names of the accepted modules.
    """

    name: str
    summary: str
    configuration: str
    models: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def default(self) -> Path:
        """The file of the default configuration, in the form for messages."""
        return shipped(self.configuration)
