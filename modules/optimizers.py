"""Optimizers: short name -> "module:function". Each function builds torch's own optimizer, in its fused version.

Fused optimizers update all parameters in one kernel, and a flag on the device can make them skip a step. That is how a
run stops before a non-finite step without a host sync at each iteration.
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
        lr: learning rate if no schedule sets it.
        betas: decay rates of the first and second moments, each in [0, 1).
        eps: constant added to the denominator for numerical stability.
        weight_decay: coefficient of the L2 penalty added to the gradient.
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
        lr: learning rate if no schedule sets it.
        betas: decay rates of the first and second moments, each in [0, 1).
        eps: constant added to the denominator for numerical stability.
        weight_decay: fraction by which weights are reduced at each step, multiplied by the learning rate.
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
        lr: learning rate if no schedule sets it.
        momentum: fraction of the previous step that is carried over, in [0, 1).
        nesterov: whether to use Nesterov momentum; requires a momentum above 0.
        weight_decay: coefficient of the L2 penalty added to the gradient.
    """
    import torch

    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
