"""Optimizers that compute each element of the weights by itself."""

from __future__ import annotations

import torch

from firebox.engine.training.weights.trained_state import KERNELS


def unfused(optimizer: torch.optim.Optimizer) -> None:
    """Has an optimizer compute each element by itself.

    A fused kernel on the CPU treats the elements at the end of a tensor otherwise than those before, so that the bits
    would depend on where the processes' parts end.
    """
    for group in (optimizer.defaults, *optimizer.param_groups):
        group.update({name: False for name in KERNELS if name in group})
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
