"""A model's output as a rehearsal observes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ACTIVATIONS = {
    "SigmoidBackward0": "sigmoid",
    "TanhBackward0": "tanh",
    "SoftmaxBackward0": "softmax",
    "LogSoftmaxBackward0": "log_softmax",
    "ReluBackward0": "relu",
    "AddmmBackward0": "linear",
    "MmBackward0": "linear",
    "ConvolutionBackward0": "linear",
}
_RESHAPING = frozenset(
    {
        "ViewBackward0",
        "UnsafeViewBackward0",
        "ReshapeAliasBackward0",
        "PermuteBackward0",
        "TransposeBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "SqueezeBackward2",
        "SelectBackward0",
        "SliceBackward0",
        "UnsqueezeBackward0",
        "CloneBackward0",
        "ToCopyBackward0",
    }
)


@dataclass(frozen=True, slots=True)
class Output:
    """A model's output for a batch of images.

    Args:
        shape: the output's shape, (N, ...).
        activation: the last operation that changes values: linear, sigmoid, tanh, relu, softmax or log_softmax;
            None for any other.
    """

    shape: tuple[int, ...]
    activation: str | None


def last_activation(output: torch.Tensor) -> str | None:
    """Returns the name of the last operation that changes the values of a tensor; see ``Output``."""
    node = output.grad_fn
    while node is not None and node.name() in _RESHAPING:
        node = node.next_functions[0][0]
    return None if node is None else _ACTIVATIONS.get(node.name())
