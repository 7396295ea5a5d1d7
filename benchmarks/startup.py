"""Seconds until a trainer's command responds, each in a process of its own.

The first optimizer step is compared with ``import torch, torchvision`` and reading the data, which any training does.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from firebox.benchmarks.measuring import ROOT, Cells, begin, interleaved, median_ratio, options, report

TRAINER = (sys.executable, str(ROOT / "trainers" / "train_cae_baseline.py"))
READ = "import torch, torchvision; from firebox.data.fashion_mini import FashionMini; data = FashionMini(); "
BASE = READ + "[data.read(split) for split in ('train', 'validation', 'test')]"


def seconds(command: Sequence[str], code: int = 0) -> float:
    """Returns the seconds that a command takes.

    Raises:
        RuntimeError: the command ended with another exit code.
    """
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    ended = time.monotonic()
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}, expected {code}\n{done.stderr}")
    return ended - began


def first_step() -> float:
    """Returns the seconds until the baseline's first optimizer step is done."""
    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as folder:
        note, configuration = Path(folder) / "first_step", Path(folder) / "configuration.yaml"
        configuration.write_text(
            f"extends: {ROOT}/configs/cae/cae_baseline_fashion_mini.yaml\n"
            f"training: {{device: cpu}}\noutput: {{root: {folder}}}\n"
            f"handlers: [firebox.benchmarks.first_step:FirstStep: {{into: {note}}}]\n"
        )
        began = time.monotonic()
        seconds((*TRAINER, str(configuration)))
        return float(note.read_text()) - began


def main() -> None:
    chosen = begin(options(__doc__))
    base = "import torch, torchvision; read the data"
    systems = {
        "import yaml, pydantic, rich": lambda: seconds((sys.executable, "-c", "import yaml, pydantic, rich")),
        "--help": lambda: seconds((*TRAINER, "--help")),
        "an unknown key, refused": lambda: seconds((*TRAINER, "--set", "traning.epochs=1"), code=2),
        "import torch, torchvision": lambda: seconds((sys.executable, "-c", "import torch, torchvision")),
        base: lambda: seconds((sys.executable, "-c", BASE)),
        "--check": lambda: seconds((*TRAINER, "--check")),
        "first optimizer step": first_step,
    }
    measured = interleaved(systems, chosen.rounds)
    rows: list[Cells] = [
        {"until": name, "seconds": statistics.median(values), f"x {base}": median_ratio(values, measured[base])}
        for name, values in measured.items()
    ]
    report(f"Start, median of {chosen.rounds} rounds", rows, chosen, seconds=measured)


if __name__ == "__main__":
    main()
