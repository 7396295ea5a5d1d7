"""The state of what is trained, the model and its optimizers, whole in every checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from firebox.engine.training.bases.ownership import load_optimizer, restoring
from firebox.engine.world.world import World

KERNELS = ("fused", "foreach")
"""What says how an optimizer computes; it is the run's, not that of a checkpoint, which may be of another one."""


def trained_state(
    model: torch.nn.Module, optimizers: Mapping[str, torch.optim.Optimizer], world: World, *, spreads: bool
) -> dict[str, Any]:
    """Returns the state of a model and its optimizers.

    Args:
        model: the model.
        optimizers: its optimizers, by name.
        world: the processes.
        spreads: whether each holds a part of the weights alone. All have to call this then; the first has them whole.
    """
    state = {
        "model": model.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
    }
    if not spreads:
        return state
    from firebox.engine.training.processes.spread_parameters import gathered

    return dict(gathered(state, world))


def load_trained_state(
    model: torch.nn.Module,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: Mapping[str, Any],
    *,
    spreads: bool,
) -> None:
    """Restores the state of a model and its optimizers. Nothing is sent.

    Raises:
        StateMismatch: a part is missing or does not fit.
    """
    with restoring("the model", state, "model"):
        weights = state["model"]
        if spreads:
            from firebox.engine.training.processes.spread_parameters import own_part

            own = model.state_dict()
            weights = {name: own_part(value, own.get(name)) for name, value in weights.items()}
        model.load_state_dict(weights)
    for name, optimizer in optimizers.items():
        with restoring(f"the optimizer {name}", state, "optimizers", name):
            saved = state["optimizers"][name]
            if spreads:
                from firebox.engine.training.processes.spread_parameters import own_parts

                saved = own_parts(saved, optimizer)
            kernels = [{key: group[key] for key in KERNELS if key in group} for group in optimizer.param_groups]
            load_optimizer(optimizer, saved)
            for group, kernel in zip(optimizer.param_groups, kernels, strict=True):
                group.update(kernel)


def digest_of_weights(state: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a model's state."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
