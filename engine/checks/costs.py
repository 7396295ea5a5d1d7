"""What a run takes: bytes, counted while fake tensors pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from firebox.engine.training.run import Run


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run takes, in bytes where it is no count.

    Args:
        parameters: of the model.
        trained: parameters that an optimizer updates.
        weights: parameters and buffers.
        gradients: of the trained parameters.
        optimizer: its state.
        activations: what a training batch leaves for its backward pass.
        evaluation: the largest input and output that are held at once in an evaluation batch.
        data: images that the configuration asks to hold.
        checkpoint: one checkpoint on the disk.
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
        """The most that is held at once."""
        return self.weights + self.gradients + self.optimizer + max(self.activations, self.evaluation) + self.data


@dataclass(slots=True)
class Counted:
    """A number of bytes that is known when a block has ended."""

    total: int = 0


@contextmanager
def saved_bytes(run: Run) -> Iterator[Counted]:
    """Counts the bytes that autograd saves in a block, beside the parameters and buffers, each storage once."""
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
    """Finds the most bytes that go into and come out of a layer called in a block."""
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
