"""The machine's free resources: memory and disk space."""

from __future__ import annotations

import shutil
from pathlib import Path

from firebox.engine.configuration import Configuration
from firebox.foundation.files import nearest_existing

_CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(configuration: Configuration) -> int | None:
    """Returns the free memory of the device that a run trains on, in bytes; None if unknown."""
    from firebox.engine.training.devices.devices import choose_device

    try:
        device = choose_device(configuration.training.device)
    except (RuntimeError, ValueError):
        return None
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0]) if torch.cuda.is_available() else None
    return _free_main_memory() if device.type == "cpu" else None


def _free_main_memory() -> int | None:
    """The memory that the system calls available, limited to what the control group leaves."""
    candidates = []
    available = _first_line(Path("/proc/meminfo"), "MemAvailable:")
    if available is not None:
        candidates.append(int(available.split()[1]) * 1024)
    for limit, used in _CONTROL_GROUPS:
        most, now = _first_line(Path(limit)), _first_line(Path(used))
        if most is not None and now is not None and most.isdigit() and now.isdigit():
            candidates.append(max(int(most) - int(now), 0))
    return min(candidates, default=None)


def _first_line(path: Path, start: str = "") -> str | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith(start)), None)


def free_disk(path: Path) -> int:
    """Returns the free bytes of the file system that a path is on, or would be on."""
    return shutil.disk_usage(nearest_existing(path)).free


def checkpoints_kept(configuration: Configuration) -> int:
    """Returns how many checkpoints are on the disk at once: those kept, and the one that is being written."""
    kept = 0
    for named in configuration.handlers:
        settings = named.component.signature.attributes.get("keeps")
        if settings:
            kept += sum(int(named.parameters.get(setting, 0)) for setting in settings) + 1
    return kept
