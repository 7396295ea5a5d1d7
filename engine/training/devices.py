"""The device that a run trains on."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """Returns the device that a configuration names; ``auto`` is the first CUDA device, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", 0) if name == "cuda" else torch.device(name)


def set_up(device: torch.device) -> None:
    """Sets how torch computes on a device: fast, but the same bits each time."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32
        torch.backends.cudnn.deterministic = True
