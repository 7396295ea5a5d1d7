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
from firebox.engine.records.comparison_tables import text_of
from firebox.engine.records.flat_runs import Condition, chosen, flat, settings_of
from firebox.engine.records.listing import Listed, runs_in
from firebox.engine.records.sealing import CARD, parsed
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Refusal, printable

SHOWN = ("directory", "status", "epochs.done", "epochs.total", "best.metric", "best.value", "changed")
"""Keys that have a column in any case."""
STYLES = {"completed": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "killed": "red"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("runs"), help="folder of all runs (default: runs)"
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        action="append",
        default=[],
        help='only runs that meet it, such as "metrics.validation/loss<0.01", status=completed or model.name=unet; '
        "several must all be met",
    )
    parser.add_argument("--sort", metavar="KEY", help="order by a value, such as model.latent_dim (default: age)")
    parser.add_argument("--descending", action="store_true", help="the largest value first")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a list of objects: directory, status, iteration, metrics, settings and more",
    )


def run(options: argparse.Namespace) -> int:
    try:
        runs = chosen(runs_in(options.root), options.where, options.sort, descending=options.descending)
    except Refusal as refusal:
        console.problems(refusal)
        return REFUSED
    if options.json:
        # ASCII alone: nothing that a terminal would act on, whatever the names.
        sys.stdout.write(json.dumps([_plain(found) for found in runs], indent=1, allow_nan=False) + "\n")
        return COMPLETED
    # Archives have no columns to choose them by.
    archives = [] if options.where else archives_in(options.root)
    if runs:
        asked = [Condition.parse(text).key for text in options.where] + [options.sort] * (options.sort is not None)
        console.tabulate(_table_of_runs(runs, [key for key in dict.fromkeys(asked) if key not in SHOWN]))
    if archives:
        console.tabulate(_table_of_archives(archives))
    if not (runs or archives):
        condition = " that meet all conditions" * bool(options.where)
        console.messages.print(f"no runs{condition} in {options.root}")
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
        "settings": settings_of(found.values),
    }


def _table_of_runs(runs: list[Listed], keys: list[str]) -> Table:
    """Returns a row for each run, with a column for each of the keys that it was chosen or ordered by."""
    table = _table("run", "status", "epochs", "best", *keys, "age")
    for run in runs:
        done, total = run.epochs or ("?", "?")
        best = "" if run.best is None else printable(f"{run.best[0]} {run.best[1]:.6g}")
        state = Text(run.state, STYLES.get(run.state, "white"))
        row = flat(run) if keys else {}
        asked = [printable(text_of(row.get(key))) for key in keys]
        table.add_row(printable(str(run.path)), state, f"{done}/{total}", best, *asked, age(time.time() - run.changed))
    return table


def _table_of_archives(paths: list[Path]) -> Table:
    table = _table("archive", "model", "iteration", "test", "age")
    for path in paths:
        try:
            cells = _archive_cells(parsed(path / CARD))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
            cells = [f"{CARD} can't be read"]
        table.add_row(*map(printable, (str(path), *cells)))
    return table


def _archive_cells(card: dict[str, Any]) -> list[str]:
    metrics = card["metrics"].get("test") or card["metrics"].get("validation") or {}
    numbers = {name: entry["value"] for name, entry in metrics.items() if isinstance(entry["value"], int | float)}
    shown = ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())
    created = datetime.fromisoformat(card["created_utc"]).timestamp()
    return [str(card["model"]["name"]), str(card["selection"]["iteration"]), shown, age(time.time() - created)]


def _table(first: str, *titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in (first, *titles):  # in a narrow terminal the widest one is folded first, and none is cut
        table.add_column(title, overflow="fold")
    return table


def age(seconds: float) -> str:
    """Returns a duration in its largest whole unit, such as ``3 h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
