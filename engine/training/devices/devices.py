"""The device that a run trains on."""

from __future__ import annotations

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Parameters of glibc's mallopt."""


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Returns the device that a configuration names; ``auto`` is a CUDA device if there is one, else the CPU.

    Args:
        name: name of the device.
        local_rank: number of the process on its machine, each of which has a CUDA device of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)


def set_up(device: torch.device, threads: int | None = None) -> None:
    """Sets how torch computes on a device: fast, but the same bits each time.

    Args:
        device: the device.
        threads: threads to compute with on the CPU; None to leave their number as it is.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32
        torch.backends.cudnn.deterministic = True
    else:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Has glibc keep the memory of large tensors that are freed, for those of the next batch, in any thread.

    Otherwise it returns it to the system and is given pages of zeros for the next ones, which takes several times as
    long as filling a batch of large images. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_ARENA_MAX, 1)
