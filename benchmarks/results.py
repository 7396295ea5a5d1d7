"""Trains the shipped configurations whose results are documented, and writes the table of them as Markdown.

    python benchmarks/results.py [NAME ...] --root runs/results --output docs/results_table.md

Each is trained by its own script in a process of one thread, whose user time is the time that the table gives: start,
evaluations, pictures and checkpoints included. What was measured is kept in the root and not measured again, so that a
table can be made in several sittings. Models that draw images are measured by the classifier of the first row. All rows
take some seventy minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firebox.benchmarks.measuring import ROOT

Metrics = dict[str, Any]
CLASSIFIER = "classifier, fashion_mnist"
JUDGE = "handlers.sample_quality.classifier"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Args:
        trainer: name of the trainer.
        configuration: path below configs/; None for the trainer's default.
        reached: text of what was reached, a format of the test split's metrics.
        experiment: experiment whose results say what that is compared with; None for none.
        compared: text of what that is compared with, of the experiment's results.
        judged: whether the drawn images are measured by the classifier.
    """

    trainer: str
    configuration: str | None
    reached: str
    experiment: str | None = None
    compared: Callable[[Metrics], str] = lambda _: ""
    judged: bool = False

    @property
    def command(self) -> str:
        """The command as a reader types it."""
        script = f"python trainers/train_{self.trainer}.py"
        return script if self.configuration is None else f"{script} configs/{self.configuration}"


def affine(results: Metrics) -> str:
    row = next(row for row in results["by_sigma"] if row["sigma"] == results["trained_with_sigma"])
    return (
        f"MSE {row['best_affine_mse']:.4f}: the best affine map; PSNR {row['psnr_of_input']:.2f} dB: the noisy images"
    )


def coded(results: Metrics) -> str:
    best = results["at_equal_bits"]
    return (
        f"MSE {best['pca']:.4f}: principal components in as many bits; {best['gaussian']:.4f}: the best Gaussian code"
    )


ACCURACY, RECONSTRUCTED = "accuracy **{accuracy:.4f}**", "MSE **{loss:.5f}**, PSNR {psnr:.2f} dB"
QUALITY = "FD-cnn **{fd_cnn:.2f}**, precision {precision:.2f}, recall {recall:.2f}, 1-NN accuracy {one_nn_accuracy:.2f}"
DENOISED = "MSE **{loss:.4f}**, PSNR {psnr:.2f} dB"
CODED = "MSE **{reconstruction:.4f}**, perplexity {perplexity:.0f}, {dead_codes:.0f} unused codes"
ROWS = {
    CLASSIFIER: Row("classifier_baseline", "classifier/classifier_baseline_fashion_mnist.yaml", ACCURACY),
    "classifier, fashion_mnist, wide": Row(
        "classifier_baseline", "classifier/classifier_baseline_fashion_mnist_wide.yaml", ACCURACY
    ),
    "cae, fashion_mnist": Row("cae_baseline", "cae/cae_baseline_fashion_mnist.yaml", RECONSTRUCTED),
    "cae, fashion_mnist, long": Row("cae_baseline", "cae/cae_baseline_fashion_mnist_long.yaml", RECONSTRUCTED),
    "unet": Row("unet_baseline", None, "mean IoU **{mean_iou:.4f}**, mean Dice {mean_dice:.4f}"),
    "restoration": Row("restoration_baseline", None, "PSNR **{psnr:.2f} dB**"),
    "denoising": Row("denoising_baseline", None, DENOISED, "denoise", affine),
    "denoising, fashion_mnist": Row(
        "denoising_baseline", "denoising/denoising_baseline_fashion_mnist.yaml", DENOISED, "denoise", affine
    ),
    "vqvae": Row("vqvae_baseline", None, CODED, "codebook_usage", coded),
    "vqvae, fashion_mnist": Row(
        "vqvae_baseline", "vqvae/vqvae_baseline_fashion_mnist.yaml", CODED, "codebook_usage", coded
    ),
    "gan, fashion_mnist": Row("gan_baseline", "gan/gan_baseline_fashion_mnist.yaml", QUALITY, judged=True),
    "wgan_gp, fashion_mnist": Row("gan_baseline", "gan/wgan_gp_fashion_mnist.yaml", QUALITY, judged=True),
    "flow matching, fashion_mnist": Row(
        "diffusion_baseline", "diffusion/flow_matching_fashion_mnist.yaml", QUALITY, judged=True
    ),
    "ddpm, fashion_mnist": Row("diffusion_baseline", "diffusion/ddpm_fashion_mnist.yaml", QUALITY, judged=True),
}


def run(command: Sequence[str | Path]) -> tuple[str, float]:
    """Runs a command with one thread; returns the last line of its output and its user time in seconds.

    Raises:
        SystemExit: it failed; its own messages are on standard error.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *command]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
    return output.splitlines()[-1], usage.ru_utime


def measured(name: str, root: Path) -> Metrics:
    """Returns what was measured of a row, which is measured if it has not been."""
    file = root / f"{name.replace(', ', '_').replace(' ', '_')}.json"
    if not file.exists():
        judge = measured(CLASSIFIER, root)["archive"] if ROWS[name].judged else None
        result = measure(ROWS[name], root, judge)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1))
    return dict(json.loads(file.read_text()))


def measure(row: Row, root: Path, judge: str | None) -> Metrics:
    """Trains and archives a configuration; returns its metrics, its time, its archive, and its experiment's results."""
    configuration = [] if row.configuration is None else [f"configs/{row.configuration}"]
    judged = ["--set", f"{JUDGE}={judge}"] if row.judged else []
    directory, seconds = run(
        [f"trainers/train_{row.trainer}.py", *configuration, "--quiet", "--set", f"output.root={root}", *judged]
    )
    rows = [json.loads(line) for line in (ROOT / directory / "losses.jsonl").read_text().splitlines()]
    archive, _ = run(["-m", "firebox", "archive", directory])
    results = {}
    if row.experiment is not None:
        run([f"experiments/{row.experiment}.py", archive])
        results = json.loads((ROOT / archive / "experiments" / f"{row.experiment}.json").read_text())
    test = next(entry for entry in reversed(rows) if entry["split"] == "test")
    return {"test": test, "seconds": seconds, "archive": archive, "experiment": results}


def line(row: Row, result: Metrics) -> str:
    """Returns a row of the table as Markdown."""
    compared = row.compared(result["experiment"])
    return f"| `{row.command}` | {row.reached.format(**result['test'])} | {compared} | {result['seconds']:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"rows to make (default: all): {', '.join(ROWS)}")
    parser.add_argument("--root", type=Path, default=Path("runs/results"), help="folder of the runs")
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; expected one of: {', '.join(ROWS)}")
    lines = ["| command | reached on the test split | to compare with | time |", "|---|---|---|---|"]
    lines += [line(ROWS[name], measured(name, options.root)) for name in options.names or ROWS]
    text = "\n".join(lines) + "\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
