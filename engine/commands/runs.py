"""List runs and archives as a table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from firebox.engine.archives.finding import archives_in
from firebox.engine.records.listing import Listed, runs_in
from firebox.engine.records.sealing import CARD, parsed
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED

STYLES = {"completed": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "killed": "red"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("runs"), help="folder of all runs (default: runs)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list of objects: directory, status, iteration, metrics and more"
    )


def run(options: argparse.Namespace) -> int:
    runs = runs_in(options.root)
    if options.json:
        # ASCII alone: nothing that a terminal would act on, whatever the names.
        sys.stdout.write(json.dumps([_plain(found) for found in runs], indent=1, allow_nan=False) + "\n")
        return COMPLETED
    archives = archives_in(options.root)
    if runs:
        console.tabulate(_table_of_runs(runs))
    if archives:
        console.tabulate(_table_of_archives(archives))
    if not (runs or archives):
        console.messages.print(f"no runs in {options.root}")
    return COMPLETED


def _plain(found: Listed) -> dict[str, Any]:
    """A run as ``--json`` has it; null stands for what is not known."""
    done, total = found.epochs or (None, None)
    metric, value = found.best or (None, None)
    return {
        "directory": str(found.path),
        "status": found.state,
        "reason": found.reason,
        "iteration": found.iteration,
        "epochs": {"done": done, "total": total},
        "metrics": found.metrics,
        "best": None if metric is None else {"metric": metric, "value": value},
    }


def _table_of_runs(runs: list[Listed]) -> Table:
    table = _table("run", "status", "epochs", "best", "age")
    for found in runs:
        done, total = found.epochs or ("?", "?")
        best = "" if found.best is None else f"{found.best[0]} {found.best[1]:.6g}"
        state = Text(found.state, STYLES.get(found.state, "white"))
        table.add_row(str(found.path), state, f"{done}/{total}", best, age(time.time() - found.changed))
    return table


def _table_of_archives(paths: list[Path]) -> Table:
    table = _table("archive", "model", "iteration", "test", "age")
    for path in paths:
        try:
            cells = _archive_cells(parsed(path / CARD))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
            cells = [f"{CARD} can't be read"]
        table.add_row(str(path), *cells)
    return table


def _archive_cells(card: dict[str, Any]) -> list[str]:
    metrics = card["metrics"].get("test") or card["metrics"].get("validation") or {}
    numbers = {name: entry["value"] for name, entry in metrics.items() if isinstance(entry["value"], int | float)}
    shown = ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())
    created = datetime.fromisoformat(card["created_utc"]).timestamp()
    return [str(card["model"]["name"]), str(card["selection"]["iteration"]), shown, age(time.time() - created)]


def _table(first: str, *titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for title in titles:
        table.add_column(title, no_wrap=title != "test")
    return table


def age(seconds: float) -> str:
    """Returns a duration in its largest whole unit, such as ``3 h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
