"""Optimizers: short name -> "module:function". Each builds torch's own, fused where torch offers it.

The fused ones update all parameters in one kernel and can be told on the device to leave them as they are, which is
how a run stops before a non-finite step without asking the device at each iteration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    import torch

CATALOGUE = {
    "adam": "firebox.modules.optimizers:adam",
    "adamw": "firebox.modules.optimizers:adamw",
    "sgd": "firebox.modules.optimizers:sgd",
}


def adam(
    parameters: Iterable[torch.nn.Parameter],
    *,
    lr: PositiveFloat = 1e-3,
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015).

    Args:
        lr: learning rate, where no schedule sets it.
        betas: decay rates of the first and second moment.
        eps: added to the denominator.
        weight_decay: L2 penalty added to the gradient.
    """
    import torch

    return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Iterable[torch.nn.Parameter],
    *,
    lr: PositiveFloat = 1e-3,
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
) -> torch.optim.Optimizer:
    """AdamW, Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Args:
        lr: learning rate, where no schedule sets it.
        betas: decay rates of the first and second moment.
        eps: added to the denominator.
        weight_decay: share of a weight, times the learning rate, taken off at each step.
    """
    import torch

    return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def sgd(
    parameters: Iterable[torch.nn.Parameter],
    *,
    lr: PositiveFloat = 0.01,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent, with momentum.

    Args:
        lr: learning rate, where no schedule sets it.
        momentum: share of the last step that is carried over.
        nesterov: look ahead; needs a momentum above 0.
        weight_decay: L2 penalty added to the gradient.
    """
    import torch

    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
