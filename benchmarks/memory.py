"""Peak memory of the baseline run with all default handlers, compared with a bare loop, each in its own process.

Both train two epochs. The bare loop holds the images as bytes, as Firebox does; the floor of ``epoch.py`` holds them as
floats.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from firebox.benchmarks import baseline
from firebox.benchmarks.measuring import ROOT, Cells, begin, interleaved, median_ratio, options, report

LOOP = "import torch, torchvision; from benchmarks import baseline; images = baseline.training_images({!r}); {}"


def peak(command: Sequence[str]) -> float:
    """Returns the largest resident set of a process, in MiB.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{output.read()}")
    return usage.ru_maxrss / 1024


def firebox(data: str) -> float:
    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as folder:
        path = Path(folder) / "configuration.yaml"
        content = {**baseline.configuration(data, epochs=2), "trainer": "cae_baseline", "output": {"root": folder}}
        path.write_text(yaml.safe_dump(content))
        return peak((sys.executable, str(ROOT / "trainers" / "train_cae_baseline.py"), str(path)))


def loop(data: str, work: str) -> float:
    return peak((sys.executable, "-c", LOOP.format(data, f"{work}(images); {work}(images)")))


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--data", choices=baseline.DATA, default="fashion_mnist")
    chosen = begin(parser)
    systems = {
        "import torch, torchvision": lambda: peak((sys.executable, "-c", "import torch, torchvision")),
        "bare loop, bytes in memory": lambda: loop(chosen.data, "baseline.resident"),
        "bare loop, floats in memory (floor)": lambda: loop(chosen.data, "baseline.floor"),
        "Firebox": lambda: firebox(chosen.data),
    }
    measured = interleaved(systems, chosen.rounds)
    bare = measured["bare loop, bytes in memory"]
    rows: list[Cells] = [
        {"": name, "peak MiB": statistics.median(values), "x bare loop": median_ratio(values, bare)}
        for name, values in measured.items()
    ]
    report(f"Peak resident memory, {chosen.data}, median of {chosen.rounds}", rows, chosen, mebibytes=measured)


if __name__ == "__main__":
    main()
