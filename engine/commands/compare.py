"""Compare runs and archives: the settings in which they differ, and their results, averaged over seeds."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

from rich.measure import Measurement
from rich.table import Table

from firebox.engine.records.comparison import Comparison, compare
from firebox.engine.records.comparison_tables import as_objects, rows_of_numbers, table_of, transposed
from firebox.engine.records.recorded import all_recorded
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Refusal, printable


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="directories of runs, and archives")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, a row for runs that differ in their seed alone")
    form.add_argument("--json", action="store_true", help="print an object: differing, best_by, groups")


def run(options: argparse.Namespace) -> int:
    try:
        comparison = compare(all_recorded(options.runs))
    except Refusal as refusal:
        console.problems(refusal)
        return REFUSED
    for fault in (fault for group in comparison.groups for run in group.runs for fault in run.faults):
        console.messages.print(printable(fault), style="yellow", markup=False)
    if options.json:
        sys.stdout.write(json.dumps(as_objects(comparison), indent=1) + "\n")
    elif options.csv:
        _write_csv(comparison)
    else:
        console.tabulate(fitting_table(table_of(comparison)))
        if not comparison.keys and len(options.runs) > 1:
            console.messages.print("the settings are the same in all of them")
    return COMPLETED


def fitting_table(rows: list[list[str]]) -> Table:
    """Returns a table that fits the terminal, with a column for each run if a row for each is too wide."""
    table = _with_header(rows)
    options = console.results.options.update(width=10_000)
    if console.results.is_terminal and Measurement.get(console.results, options, table).maximum > console.results.width:
        return _with_header(transposed(rows))
    return table


def _with_header(rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(rows[0]):
        table.add_column(printable(title), overflow="fold", justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*map(printable, row))
    return table


def _write_csv(comparison: Comparison) -> None:
    rows = rows_of_numbers(comparison)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([printable(key) for key in rows[0]])
    for row in rows:
        writer.writerow([printable(value) if isinstance(value, str) else value for value in row.values()])
