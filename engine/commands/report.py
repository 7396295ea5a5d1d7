"""Write a report of runs and archives: one HTML file that opens from disk and needs no network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firebox.engine.records.recorded import all_recorded
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.files import write_whole
from firebox.foundation.problems import Problem, Refusal


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="directories of runs, and archives")
    parser.add_argument("--output", metavar="FILE", type=Path, default=Path("report.html"), help="default: report.html")


def run(options: argparse.Namespace) -> int:
    from firebox.engine.reports.page import page

    try:
        text = page(all_recorded(options.runs))
        try:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_whole(options.output, text)
        except OSError as error:
            message = f"--output: can't write {options.output}: {error.strerror or error}"
            raise Refusal([Problem("", message)]) from None
    except Refusal as refusal:
        console.problems(refusal)
        return REFUSED
    sys.stdout.write(f"{options.output}\n")
    return COMPLETED
