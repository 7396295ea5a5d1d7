"""The environment that a run trains in."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from firebox.engine.configuration import Configuration
from firebox.engine.training.devices.devices import choose_device
from firebox.foundation.package import ROOT, version

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-ignite",
    "kornia",
    "numpy",
    "pillow",
    "simplejpeg",
    "tensorboardX",
    "firebox",
)


def environment(run: Run) -> dict[str, Any]:
    """Returns versions, commit, command line, device, seed, iterations in an epoch, the one it continues from, the
    model's number of parameters, and the weights that it began with, if any."""
    warm = {} if run.warm_start is None else {"weights": run.warm_start.record()}
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_at": run.resumed_at,
        "command_line": sys.argv,
        "seed": run.configuration.seed,
        "epoch_length": run.epoch_length,
        "processes": run.world.size,
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        **warm,
        **circumstances(run.configuration),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def circumstances(configuration: Configuration) -> dict[str, Any]:
    """Returns what the bits of a run may depend on beside its configuration: device, threads, versions, commit."""
    device = choose_device(configuration.training.device)
    return {
        "device": str(device),
        "device_name": _name_of(device),
        "threads": configuration.training.threads or torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
    }


def _name_of(device: torch.device) -> str:
    if device.type != "cuda":
        return platform.processor()
    # A device that is not there is refused by a guard, with a way out.
    return torch.cuda.get_device_name(device) if (device.index or 0) < torch.cuda.device_count() else "absent"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
