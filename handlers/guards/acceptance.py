"""Guards for the models and modules that a trainer accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.components.catalogue import catalogue
from firebox.engine.components.targets import Target
from firebox.engine.configuration.trainer import Trainer
from firebox.foundation.problems import Problem


class Acceptance(Guard):
    """Refuses a model or module that the trainer does not accept."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        trainer, configuration = preflight.trainer, preflight.configuration
        if trainer is None:
            return
        for key, named, accepted in (
            ("model", configuration.model, trainer.models),
            ("module", configuration.module, trainer.modules),
        ):
            if ":" in named.name or named.name in accepted:
                continue
            others = _accepting("models" if key == "model" else "modules", named.name)
            way_out = f", or firebox train {others[0]}" if others else ""
            expected = ", ".join(accepted)
            message = f"got {named.name}, but the trainer {trainer.name} accepts: {expected}{way_out}"
            yield preflight.problem(message, key, "name")


def _accepting(what: Literal["models", "modules"], name: str) -> list[str]:
    """Returns the names of the trainers that accept a model or module."""
    trainers: dict[str, Trainer] = {name: Target.parse(place).load() for name, place in catalogue("trainer").items()}
    return [trainer for trainer, declaration in trainers.items() if name in getattr(declaration, what)]
