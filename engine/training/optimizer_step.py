"""An optimizer's step without the wrapper that torch puts around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


# torch marks each step for its profiler, and looks for hooks: on a CPU that takes longer than the step of a small model
# itself. ``torch.optim.Optimizer`` wraps the ``step`` of every class by ``functools.wraps``, so that ``__wrapped__`` is
# the bare one; all that the wrapper does besides is to call the hooks in the four dictionaries below. A test fails if a
# release of torch has the wrapper do anything else.
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
    return partial(step, optimizer)
