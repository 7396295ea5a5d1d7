"""List runs and archives as a table."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from firebox.engine.archives.loading import CARD, archives_in
from firebox.engine.configuration import Configuration, read_recorded
from firebox.engine.records.checkpoints import valid_manifests
from firebox.engine.records.monitor import best_of, monitor_of
from firebox.engine.records.run_directory import RunDirectory, is_run
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED
from firebox.foundation.problems import Refusal

STYLES = {"completed": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "killed": "red"}
LAST_LINES = 1 << 16
"""Bytes at the end of losses.jsonl in which its last line is looked for."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("runs"), help="that all runs are below (default: runs)"
    )


def run(options: argparse.Namespace) -> int:
    runs, archives = runs_in(options.root), archives_in(options.root)
    if runs:
        console.tabulate(_table_of_runs(runs))
    if archives:
        console.tabulate(_table_of_archives(archives))
    if not (runs or archives):
        console.messages.print(f"no runs in {options.root}", markup=False)
    return COMPLETED


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as the table shows it.

    Args:
        path: of its directory.
        state: as its status has it; killed: it says running and no process has it.
        epochs: done, of how many; None: not known.
        best: the monitored metric's name and its best value at a checkpoint that is kept; None: none was measured.
        changed: when its status last changed, in seconds since 1970.
    """

    path: Path
    state: str
    epochs: tuple[int, int] | None
    best: tuple[str, float] | None
    changed: float


def runs_in(root: Path) -> list[Listed]:
    """Returns the runs below ``root``, the one whose status changed last at the end."""
    paths = [path.parent for path in root.glob("*/*/*/status.json") if is_run(path.parent)]
    return sorted(map(listed, paths), key=lambda run: run.changed)


def listed(path: Path) -> Listed:
    """Reads what the table shows of a run."""
    directory = RunDirectory(path)
    status = directory.status()
    state = "killed" if status.state == "running" and not directory.in_use() else status.state
    iteration = max(status.iteration, _last_logged(directory))
    changed = (path / "status.json").stat().st_mtime
    try:
        configuration = read_recorded(directory.configuration)
    except Refusal:
        return Listed(path, state, None, None, changed)
    return Listed(path, state, _epochs(directory, configuration, iteration), _best(directory, configuration), changed)


def _epochs(directory: RunDirectory, configuration: Configuration, iteration: int) -> tuple[int, int] | None:
    length = directory.recorded_environment().get("epoch_length")
    if type(length) is not int or length < 1:
        return None
    return iteration // length, configuration.training.epochs


def _best(directory: RunDirectory, configuration: Configuration) -> tuple[str, float] | None:
    monitor = monitor_of(configuration)
    if monitor is None:
        return None
    best = best_of(valid_manifests(directory.checkpoints), monitor)
    return None if best is None else (monitor.metric, best.metrics[monitor.metric])


def _last_logged(directory: RunDirectory) -> int:
    """Returns the iteration of the last whole line of losses.jsonl; 0: there is none."""
    try:
        with directory.losses.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_LINES))
            lines = file.read().split(b"\n")
        return int(json.loads(lines[-2])["iteration"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0


def _table_of_runs(runs: list[Listed]) -> Table:
    table = _table("run", "status", "epochs", "best", "age")
    for found in runs:
        done, total = found.epochs or ("?", "?")
        best = "" if found.best is None else f"{found.best[0]} {found.best[1]:.6g}"
        style = STYLES.get(found.state, "white")
        table.add_row(
            escape(str(found.path)),
            f"[{style}]{found.state}[/{style}]",
            f"{done}/{total}",
            escape(best),
            age(time.time() - found.changed),
        )
    return table


def _table_of_archives(paths: list[Path]) -> Table:
    table = _table("archive", "model", "iteration", "test", "age")
    for path in paths:
        try:
            card = json.loads((path / CARD).read_text())
            cells = _archive_cells(card)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            cells = [f"{CARD} can't be read"]
        table.add_row(escape(str(path)), *map(escape, cells))
    return table


def _archive_cells(card: dict[str, Any]) -> list[str]:
    metrics = card["metrics"].get("test") or card["metrics"].get("validation") or {}
    numbers = {name: entry["value"] for name, entry in metrics.items() if isinstance(entry["value"], int | float)}
    shown = ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())
    created = datetime.fromisoformat(card["created_utc"]).timestamp()
    return [card["model"]["name"], str(card["selection"]["iteration"]), shown, age(time.time() - created)]


def _table(first: str, *titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for title in titles:
        table.add_column(title, no_wrap=title != "test")
    return table


def age(seconds: float) -> str:
    """Returns a span of time in its largest whole unit: ``3 h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
