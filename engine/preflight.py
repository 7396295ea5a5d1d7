"""Runs every guard before the training, on fake tensors."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from engine.configuration import Configuration
from engine.problems import Problem, refuse
from engine.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Report:
    """What the guards found.

    Args:
        configuration: that was checked.
    """

    configuration: Configuration

    def tables(self) -> list[Table]:
        """What was checked, for the shell."""
        return []


def preflight(configuration: Configuration, trainer: Trainer) -> Report:
    """Runs all guards; every problem of all of them comes in one refusal.

    Raises:
        Refusal: the combination can't work.
    """
    problems: list[Problem] = []
    for key, named, accepted in (
        ("model", configuration.model, trainer.models),
        ("module", configuration.module, trainer.modules),
    ):
        if ":" not in named.name and named.name not in accepted:
            message = f"got {named.name}, but the trainer {trainer.name} accepts: {', '.join(accepted)}"
            problems.append(Problem(f"{key}.name", message, named.mark))
    refuse(problems)
    return Report(configuration)
