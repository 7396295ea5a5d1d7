"""Search for settings: train a configuration with many of them, several at once, and compare the runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firebox.engine.commands.compare import fitting_table
from firebox.engine.commands.config import trainer_of
from firebox.engine.records.comparison import compare
from firebox.engine.records.comparison_tables import table_of
from firebox.engine.records.recorded import all_recorded
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.files import write_whole
from firebox.foundation.problems import Refusal

REPORT = "report.html"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", type=Path, help="file of the sweep; docs/search.md describes it")
    jobs = "trials at once, one GPU each (default: 1)"
    parser.add_argument("--jobs", metavar="N", type=_positive, default=1, help=jobs)
    parser.add_argument(
        "--worker",
        action="store_true",
        help="train trials until none is left, beside other workers of the same sweep, without the table at the end",
    )


def run(options: argparse.Namespace) -> int:
    from firebox.engine.search.outcome import outcome_of
    from firebox.engine.search.processes import Stop, prepare, train_all
    from firebox.engine.search.study import require_optuna
    from firebox.engine.search.sweep_file import parsed, read_sweep

    stop = Stop()
    try:
        require_optuna()
        *_, config = parsed(options.sweep)
        sweep = read_sweep(options.sweep, trainer_of(config, None))
        with stop.listening():
            code = prepare(sweep, stop) or train_all(sweep, options.jobs, stop, waits=not options.worker)
    except Refusal as refusal:
        console.problems(refusal)
        return REFUSED
    if code != COMPLETED or options.worker:
        if stop.signal is not None:
            console.messages.print("stopped; the same command goes on")
        return code
    outcome = outcome_of(sweep)
    for line in outcome.failures:
        console.messages.print(line, style="yellow", markup=False)
    if outcome.runs:
        from firebox.engine.reports.page import page

        runs = all_recorded(outcome.runs)
        console.tabulate(fitting_table(table_of(compare(runs))))
        write_whole(sweep.folder / REPORT, page(runs))
        sys.stdout.write(f"{sweep.folder / REPORT}\n")
    return outcome.exit_code


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected a positive integer")
    return number
