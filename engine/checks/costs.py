"""The memory and disk space that a run takes, counted while fake tensors pass through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from firebox.engine.training.run import Run


@dataclass(frozen=True, slots=True)
class Costs:
    """The resources that a run takes; sizes are in bytes.

    Args:
        parameters: the number of the model's parameters.
        trained: the number of parameters that an optimizer updates.
        weights: the size of parameters and buffers.
        gradients: the size of the trained parameters' gradients.
        optimizer: the size of the optimizers' state.
        activations: the size of what a training batch keeps for its backward pass.
        evaluation: the size of the largest input and output that exist at once in an evaluation batch.
        data: the size of the images that stay in memory.
        checkpoint: the size of one checkpoint on the disk.
    """

    parameters: int
    trained: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    evaluation: int
    data: int
    checkpoint: int

    @property
    def memory(self) -> int:
        """The peak memory, in bytes."""
        return self.weights + self.gradients + self.optimizer + max(self.activations, self.evaluation) + self.data

    def spread_over(self, processes: int) -> Costs:
        """Returns what each of several processes takes that share weights, gradients and optimizer evenly."""
        shared = {name: -(-getattr(self, name) // processes) for name in ("weights", "gradients", "optimizer")}
        return replace(self, **shared)


@dataclass(slots=True)
class Counted:
    """A number of bytes, known once its block has ended."""

    total: int = 0


@contextmanager
def saved_bytes(run: Run) -> Iterator[Counted]:
    """Counts the bytes that autograd saves in a block besides parameters and buffers, each storage once."""
    own = {tensor.untyped_storage()._cdata for tensor in (*run.model.parameters(), *run.model.buffers())}
    saved: dict[int, int] = {}
    counted = Counted()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield counted
    counted.total = sum(saved.values())


@contextmanager
def largest_output() -> Iterator[Counted]:
    """Finds the largest number of bytes that enter and leave a single layer in a block."""
    counted = Counted()

    def note(part: torch.nn.Module, given: Any, returned: Any) -> None:
        if not any(True for _ in part.children()):
            counted.total = max(counted.total, bytes_in(given) + bytes_in(returned))

    handle = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield counted
    finally:
        handle.remove()


def bytes_in(value: Any) -> int:
    """Returns the bytes of all tensors in nested maps and lists."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(bytes_in, value.values()))
    return sum(map(bytes_in, value)) if isinstance(value, list | tuple) else 0
