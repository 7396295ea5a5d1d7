"""The memory format of a model's weights and images."""

from __future__ import annotations

import torch
from torch import nn

ONEDNN_BLOCK = 16
"""Channels that oneDNN's convolutions work on at once, where the CPU has AVX-512; 8 where it has AVX2."""


def gains_from_channels_last(model: nn.Module, device: torch.device) -> bool:
    """Whether a model can train in ``torch.channels_last``, and whether that makes a difference to it.

    Args:
        model: the network.
        device: the device that it trains on.
    """
    return has_convolutions(model) and (device.type != "cpu" or overrunning(model) is None)


def has_convolutions(model: nn.Module) -> bool:
    """Whether the memory format makes a difference to a model."""
    return any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in model.modules())


# https://github.com/uxlfoundation/oneDNN/issues/6035: for the gradient of such a layer's weights in channels_last,
# oneDNN copies the pixels that the stride leaves into a buffer, at offsets for whole blocks of channels, although it
# made the buffer for as many channels as there are. What it writes behind the buffer's end is anybody's memory: a
# crash later on, or wrong gradients. Batch, image size and number of threads decide how far it writes; a layer that
# stays within the buffer today leaves it when the last batch of an epoch is smaller. In the contiguous format torch
# has oneDNN copy whole blocks. A test fails once a release of torch has this mended.
def overrunning(model: nn.Module) -> str | None:
    """Returns the name of a layer whose gradient corrupts memory on a CPU in channels_last; None if there is none."""
    for name, part in model.named_modules():
        if (
            isinstance(part, nn.Conv2d)
            and tuple(part.kernel_size) == (1, 1)
            and tuple(part.stride) != (1, 1)
            and part.in_channels // part.groups < ONEDNN_BLOCK
        ):
            return name or "the model"
    return None
