"""A trainer: a name, a default configuration, and what it accepts. It holds no training logic."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Trainer:
    """What a script in ``trainers/`` declares.

    Args:
        name: its short name in the catalogue.
        summary: one line on what it trains.
        configuration: its default configuration, relative to the project.
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
        """The default configuration's file, as it is shown: relative where the working directory allows it."""
        path = ROOT / self.configuration
        return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

    def main(self) -> NoReturn:
        """Runs the trainer as a script."""
        from engine.command_line import train_script

        sys.exit(train_script(self, sys.argv[1:]))
