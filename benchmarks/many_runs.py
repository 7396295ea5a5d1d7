"""Processor time of ``firebox runs`` on many runs, which differ in seed and learning rate."""

from __future__ import annotations

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from firebox.benchmarks.measuring import ROOT, Cells, begin, interleaved, options, report

SETTINGS = (
    "datamodule.limit=200",
    "model={name: linear_autoencoder, latent_dim: 8}",
    "training.epochs=2",
    "training.device=cpu",
)
COMMAND = (sys.executable, "-c", "from firebox.engine.commands.command_line import main; main()", "runs", "--root")


def write_runs(folder: Path, number: int) -> None:
    """Trains a run, and writes others that have its records under settings of their own."""
    assignments = [part for text in (*SETTINGS, f"output.root={folder}") for part in ("--set", text)]
    trainer = str(ROOT / "trainers" / "train_cae_baseline.py")
    subprocess.run([sys.executable, trainer, *assignments], check=True, stdout=subprocess.DEVNULL)
    (trained,) = folder.glob("*/*/*")
    configuration = (trained / "config.yaml").read_text()
    for seed in range(1, number):
        copy = trained.with_name(f"v{seed + 1}")
        shutil.copytree(trained, copy, copy_function=os.link)
        (copy / "config.yaml").unlink()
        changed = re.sub(r"^seed: .*", f"seed: {seed}", configuration, flags=re.MULTILINE)
        changed = re.sub(r"^  lr: .*", f"  lr: {0.001 + seed * 1e-6:.6f}", changed, count=1, flags=re.MULTILINE)
        (copy / "config.yaml").write_text(changed)


def seconds(*arguments: str) -> float:
    """Returns the processor seconds of a command, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--number", type=int, default=1000, help="of runs; default 1000")
    chosen = begin(parser)
    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as folder:
        write_runs(Path(folder), chosen.number)
        systems = {
            "no run at all": lambda: seconds(os.devnull),
            "firebox runs": lambda: seconds(folder),
            "firebox runs --json": lambda: seconds(folder, "--json"),
            "firebox runs --where": lambda: seconds(folder, "--where", "optimizer.lr<0.0012", "--sort", "seed"),
        }
        measured = interleaved(systems, chosen.rounds)
    rows: list[Cells] = [
        {"": name, "processor seconds": statistics.median(values)} for name, values in measured.items()
    ]
    report(f"{chosen.number:,} runs listed, median of {chosen.rounds}", rows, chosen, seconds=measured)


if __name__ == "__main__":
    main()
