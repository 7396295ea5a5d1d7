"""The owners of a run's state: what belongs to it besides the model, and whom to name if a state can't be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from firebox.engine.configuration import Configuration
from firebox.engine.records.storable import EXPECTED, Unstorable, path_text
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Module
from firebox.foundation.observing import Observers
from firebox.foundation.problems import TrainingFailure, in_one_line, shown


class UnstorableState(TrainingFailure):
    """A state that could not be read back from a checkpoint.

    Args:
        owner: the part of the run that the state belongs to.
        error: the value that was found.
    """

    def __init__(self, owner: str, error: Unstorable) -> None:
        super().__init__(f"{owner}: {unstorable_text(error)}")


class StateMismatch(ValueError):
    """A state, read as it was written, that lacks a part of the run or does not fit it."""


def unstorable_text(error: Unstorable) -> str:
    """Returns what a state's owner returned, what is expected, and what to return in its place."""
    depth = 1 if error.keys[:1] and error.keys[0] in ("model", "module", "scaler", "dispatcher") else 2
    way_out = f"; return {error.way_out} in its place" if error.way_out else ""
    return (
        f"state_dict(){path_text(error.keys[depth:])} is {error.found}, which a checkpoint can't give back; "
        f"expected {EXPECTED}{way_out}"
    )


def owner(keys: tuple[Any, ...], configuration: Configuration) -> str:
    """Returns the part of a run that the keys of its state lead to, as a message names it."""
    part, name = keys[0] if keys else "", str(keys[1]) if len(keys) > 1 else ""
    if part == "handlers":
        named = next((n for n in configuration.handlers if n.component.short_name == name), None)
        return f"the handler {name if named is None else named.written}"
    names = {"optimizers": f"the optimizer {name}", "networks": f"the module's {name}", "scaler": "the gradient scaler"}
    return names.get(part, f"the {part}" if part in ("model", "module") else "the run")


def own_networks(module: Module) -> dict[str, torch.nn.Module | torch.nn.Parameter]:
    """Returns the networks and parameters that a module has beside its model, by the names of its attributes.

    They are part of the run's state as the model is. Those in a plain list or dict aren't found:
    ``torch.nn.ModuleList`` and its relatives are for that.
    """
    known = {id(part) for part in (*module.model.modules(), *module.model.parameters())}
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, torch.nn.Module | torch.nn.Parameter) and id(value) not in known
    }


def network_state(part: torch.nn.Module | torch.nn.Parameter) -> Any:
    """Returns the state of a network or a parameter of the module's own."""
    return part.state_dict() if isinstance(part, torch.nn.Module) else part


def load_network(part: torch.nn.Module | torch.nn.Parameter, state: Any) -> None:
    """Restores the state of a network or a parameter of the module's own.

    Raises:
        ValueError: the state has another shape.
    """
    if isinstance(part, torch.nn.Module):
        part.load_state_dict(state)
        return
    if part.shape != state.shape:
        raise ValueError(f"the checkpoint has a parameter of shape {tuple(state.shape)}, expected {tuple(part.shape)}")
    with torch.no_grad():
        part.copy_(state)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restores an optimizer's state.

    Raises:
        ValueError: the state is of other parameters; torch itself compares only their number.
    """
    optimizer.load_state_dict(state)
    if not type(optimizer).__module__.startswith("torch.optim."):
        return  # what it keeps of a parameter may have any shape
    for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        for name, value in optimizer.state.get(parameter, {}).items():
            # Adafactor keeps means along an axis: such a size is 1.
            if (
                isinstance(value, torch.Tensor)
                and value.dim() == parameter.dim()
                and any(size not in (1, own) for size, own in zip(value.shape, parameter.shape, strict=True))
            ):
                shapes = f"{tuple(value.shape)}, expected {tuple(parameter.shape)}"
                raise ValueError(f"{name} of parameter {number} has shape {shapes}")


def untrained(module: Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> list[torch.nn.Parameter]:
    """Returns the parameters that a loss can reach and that no optimizer updates, such as those of a fixed network."""
    trained = {id(p) for optimizer in optimizers.values() for group in optimizer.param_groups for p in group["params"]}
    reachable = list(module.model.parameters())
    for part in own_networks(module).values():
        reachable += part.parameters() if isinstance(part, torch.nn.Module) else [part]
    return [parameter for parameter in reachable if parameter.requires_grad and id(parameter) not in trained]


def without_state(module: Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, torch.nn.Parameter]:
    """Returns, by the optimizer's name, the first parameter that it trains and that no part of the run's state has."""
    tensors = [*_tensors(module.state_dict()), *module.model.parameters()]
    for part in own_networks(module).values():
        tensors += part.parameters() if isinstance(part, torch.nn.Module) else [part]
    held = {tensor.untyped_storage()._cdata for tensor in tensors}
    found: dict[str, torch.nn.Parameter] = {}
    for name, optimizer in optimizers.items():
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            if parameter.untyped_storage()._cdata not in held:
                found.setdefault(name, parameter)
    return found


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for child in state.values() if isinstance(state, Mapping) else state:
            yield from _tensors(child)


@contextmanager
def restoring(owner: str, state: Any, *keys: str) -> Iterator[None]:
    """Turns an error in the block into a StateMismatch that says whose state it is and what differs.

    Args:
        owner: the part of the run whose state is being restored.
        state: the run's state.
        keys: the keys that lead to the owner's part of the state.
    """
    part = state
    for key in keys:
        if not isinstance(part, Mapping) or key not in part:
            raise StateMismatch(f"the state of {owner} is missing")
        part = part[key]
    try:
        yield
    except Exception as error:
        reason = in_one_line(error)
        if isinstance(error, KeyError):
            there = f"; the checkpoint has {shown(', '.join(map(str, part)), 200)}" if isinstance(part, Mapping) else ""
            reason = f"has no {error}{there}"
        raise StateMismatch(f"the state of {owner}: {reason}") from error


def handler_states(handlers: Mapping[str, Handler], observers: Observers) -> dict[str, Any]:
    """Returns the states of handlers by name, without those of observers that fail to give theirs."""
    states = {name: observers.act(name, handler.state_dict, even_off=True) for name, handler in handlers.items()}
    return {name: state for name, state in states.items() if state is not None or name not in observers}
