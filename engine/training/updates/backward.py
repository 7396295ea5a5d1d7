"""The backward pass of a scalar loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.autograd.graph import _engine_run_backward


def backward(loss: torch.Tensor, one: torch.Tensor, inputs: Sequence[torch.Tensor] = ()) -> None:
    """Adds a loss's gradient to the parameters that it depends on.

    What ``loss.backward()`` calls, without what that does before: it checks in Python what it was given and makes the
    gradient of the scalar with respect to itself, which takes longer than all the rest of an engine's iteration.

    Args:
        loss: scalar of shape ().
        one: 1, of shape (), in the usual dtype of losses and on their device.
        inputs: parameters whose gradients alone are wanted; empty for all.
    """
    if type(loss) is torch.Tensor and loss.dtype is one.dtype and loss.shape == one.shape:
        _engine_run_backward((loss,), (one,), False, False, tuple(inputs), allow_unreachable=True, accumulate_grad=True)
    else:
        loss.backward(inputs=inputs or None)
