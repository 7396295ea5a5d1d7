"""An optimizer's step without the wrapper that torch puts around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
    _use_grad_for_differentiable,
)

_IN_GRAD_MODE = _use_grad_for_differentiable(lambda: None).__code__
"""The code of torch's second wrapper."""


# torch marks each step for its profiler, and looks for hooks: on a CPU that takes longer than the step of a small model
# itself. ``torch.optim.Optimizer`` wraps the ``step`` of every class by ``functools.wraps``, so that ``__wrapped__`` is
# the bare one; all that the wrapper does besides is to call the hooks in the four dictionaries below. Most optimizers
# have a second wrapper below it: it sets the mode of autograd, and imports torch's compiler to tell it so. A test fails
# if a release of torch has a wrapper do anything else.
def unmarked_step(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Returns an optimizer's step without the profiler's mark around it, or as it is where anything hooks into it."""
    step = getattr(type(optimizer).step, "__wrapped__", None)
    hooks = (
        _global_optimizer_pre_hooks,
        _global_optimizer_post_hooks,
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
    )
    # An object's own ``step`` is a learning-rate scheduler's or an accelerator's wrapper.
    if step is None or any(hooks) or "step" in vars(optimizer):
        return optimizer.step
    if getattr(step, "__code__", None) is _IN_GRAD_MODE:
        return partial(_in_grad_mode, step.__wrapped__, optimizer)
    return partial(step, optimizer)


def _in_grad_mode(step: Callable[[Any], object], optimizer: torch.optim.Optimizer) -> None:
    with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
        step(optimizer)
