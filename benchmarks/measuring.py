"""Code shared by the benchmarks: options, interleaved rounds, the table, the results file, a run of Firebox."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

ROOT = Path(__file__).resolve().parents[1]  # the checkout, not the package of links
PACKAGES = (
    *("torch", "torchvision", "pytorch-ignite", "numpy", "pillow"),
    *("lightning", "monai", "datasets", "webdataset"),
)
TRAINER, DEFAULT = "cae_baseline", "configs/cae/cae_baseline_fashion_mini.yaml"
Cells = Mapping[str, str | float | None]


def options(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """Returns a parser for the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"after one that does not count; default {rounds}")
    parser.add_argument("--threads", type=int, default=1, help="that torch computes with; default 1")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the results there, too")
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the options and sets the number of threads of this process and its children."""
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(chosen.threads)
    return chosen


def interleaved(systems: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measures every system once per round, in turn, so that other load on the machine affects all of them.

    Args:
        systems: functions that measure and return a value, by name of the system.
        rounds: number of rounds that count, after one that does not.

    Returns:
        What each system measured, a value a round.
    """
    measured: dict[str, list[float]] = {name: [] for name in systems}
    progress = Console(stderr=True)
    for number in range(rounds + 1):
        for name, measure in systems.items():
            progress.print(f"round {number} of {rounds}: {name}", style="dim", markup=False)
            value = measure()
            if number:
                measured[name].append(value)
    return measured


def median_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Returns the median of the ratios within each round."""
    return statistics.median(value / reference for value, reference in zip(values, base, strict=True))


def installed(*names: str) -> bool:
    """Whether all packages that a comparison needs are installed."""
    return all(find_spec(name) for name in names)


def report(title: str, rows: Sequence[Cells], chosen: argparse.Namespace, **details: Any) -> None:
    """Prints the table and writes the results file, with everything needed to repeat the measurement.

    Args:
        title: title of the table.
        rows: cells of each row by column; numbers as measured.
        chosen: options of the benchmark.
        details: further content of the results file.
    """
    table = Table(title=title)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*(_shown(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
    content = {
        "benchmark": Path(sys.argv[0]).stem,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.argv]),
        "machine": machine(),
        "commit": _commit(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "threads": chosen.threads,
        "rounds": chosen.rounds,
        "rows": rows,
        **details,
    }
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Returns a description of the machine, and of its load."""
    import torch

    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    system = f"{platform.system()} {platform.release()}"
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": gpu,
        "system": system,
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


@contextmanager
def firebox(content: Mapping[str, Any]) -> Iterator[Run]:
    """Assembles a run from a configuration's content and starts it, ready for its first iteration.

    It lives in a temporary folder. Its progress bar is drawn as on a terminal, into nothing.

    Args:
        content: content of the configuration; the output folder is added.
    """
    from firebox.engine.configuration import read
    from firebox.engine.launch import launch
    from firebox.engine.records.claiming import claim
    from firebox.engine.training.factory import build
    from firebox.foundation import console
    from firebox.foundation.package import shipped

    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as folder, Path(os.devnull).open("w") as nothing:
        path = Path(folder) / "configuration.yaml"
        path.write_text(yaml.safe_dump({"trainer": TRAINER, **content, "output": {"root": folder}}))
        console.messages = Console(file=nothing, force_terminal=True)
        console.start(quiet=False)
        run = build(read(TRAINER, shipped(DEFAULT), path))
        run.begin(claim(run.configuration))
        console.log_to(run.directory.log)
        launch.start(run)
        try:
            yield run
        finally:
            launch.close(run)
            run.directory.unlock()


def no_handlers() -> list[dict[str, bool]]:
    """Returns a section ``handlers`` that switches off all default handlers."""
    from firebox.handlers import DEFAULTS

    return [{name: False} for name in DEFAULTS]


def _commit() -> str:
    command = ("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _shown(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
