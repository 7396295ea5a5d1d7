"""Guards for states: a checkpoint must be able to restore whatever it saves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight, Unavailable
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import without_state
from firebox.foundation.problems import Problem


class StoredStates(Guard):
    """Refuses a state that a checkpoint could not give back."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        run = preflight.run
        for name, handler in run.handlers.items():
            if _forgets(type(handler), Handler):
                yield preflight.problem(_FORGETS, *_place(preflight, ("handlers", name)))
        if _forgets(type(run.module), Module):
            yield preflight.problem(_FORGETS, "module", "name")
        with suppress(Unavailable):  # a step fills the optimizers' states; a failing step is reported elsewhere
            _ = preflight.costs
        for keys, message in preflight.rehearsal.unstorable().items():
            yield preflight.problem(message, *_place(preflight, keys))


class TrainedParameters(Guard):
    """Refuses parameters that are trained and saved nowhere."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        run = preflight.run
        for name, parameter in without_state(run.module, run.update.optimizers).items():
            message = (
                f"the optimizer {name} trains a parameter of shape {tuple(parameter.shape)} that no checkpoint would "
                "have; expected one of the model, or of a network that is an attribute of the module "
                "(several of them in a torch.nn.ModuleList or ModuleDict)"
            )
            yield preflight.problem(message, "module", "name")


_FORGETS = (
    "has state_dict and no load_state_dict, so that what it saves would not come back on resuming; "
    "expected both or neither"
)


def _forgets(kind: type, base: type) -> bool:
    return kind.state_dict is not base.state_dict and kind.load_state_dict is base.load_state_dict  # type: ignore[attr-defined]


def _place(preflight: Preflight, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the configuration keys of the part of a run that owns a state."""
    section, name = keys[0], keys[-1]
    if section == "handlers":
        configured = preflight.configuration.handlers
        return section, next((named.written for named in configured if named.component.short_name == name), name)
    return {"optimizers": "optimizer", "networks": "module"}.get(section, section), "name"
