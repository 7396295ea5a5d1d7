"""What a run takes of the machine: memory and time of the processor and of the GPU."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval

GIB = 1 << 30
GROUP = "device"
"""The group of its curves in TensorBoard."""


class DeviceStats(Handler):
    """Writes the memory and the time that a run takes to TensorBoard, below ``device/``.

    Of this process: the resident memory in GiB, and the processor time in percent of one core. Of a CUDA device: the
    memory that tensors have, its peak, and the memory reserved for them, in GiB; and how much of the time it works,
    in percent, if nvidia-ml-py is installed. Workers that read data are processes of their own and are not counted.

    Args:
        every: interval between points; processor times are those since the point before.
    """

    phase = Phase.LOG
    observes = True

    def __init__(self, *, every: Interval = "100 iterations") -> None:
        self.every = every
        self._before = (0.0, 0.0)
        self._utilisation = True

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, self._write, self.phase)

    def start(self, run: Run) -> None:
        self._before = time.perf_counter(), time.process_time()

    def _write(self) -> None:
        run = self._run
        point = {"memory_gib": resident_bytes() / GIB, "processor_percent": self._processor()}
        if run.device.type == "cuda":
            point |= self._cuda(run.device)
        values = {f"{GROUP}/{name}": value for name, value in point.items()}
        run.background.submit(run.tensorboard.add_values, values, run.iteration)

    def _processor(self) -> float:
        now = time.perf_counter(), time.process_time()
        elapsed, taken = (later - earlier for later, earlier in zip(now, self._before, strict=True))
        self._before = now
        return 100 * taken / max(elapsed, 1e-9)

    def _cuda(self, device: torch.device) -> dict[str, float]:
        # None of these waits for the device.
        point = {
            "cuda_tensors_gib": torch.cuda.memory_allocated(device) / GIB,
            "cuda_peak_gib": torch.cuda.max_memory_allocated(device) / GIB,
            "cuda_reserved_gib": torch.cuda.memory_reserved(device) / GIB,
        }
        if self._utilisation:
            try:
                point["cuda_busy_percent"] = float(torch.cuda.utilization(device))
            except Exception:  # no nvidia-ml-py, or a driver that does not say
                self._utilisation = False
        return point


def resident_bytes() -> int:
    """Returns the resident memory of this process; its peak where the system does not say the present one."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * resource.getpagesize()
