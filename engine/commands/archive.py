"""Turn a validated run into a permanent archive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.places import refusal_of


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run's directory: runs/<datamodule>/<model>/<version>")
    parser.add_argument(
        "--checkpoint",
        metavar="best|last|N",
        default="best",
        help="the best according to the run's checkpoint handler, the last, or that of iteration N (default: best)",
    )


def run(options: argparse.Namespace) -> int:
    from firebox.engine.archives.making import archive_run

    console.start(quiet=False)
    try:
        path = archive_run(options.run, options.checkpoint)
    except BaseException as error:
        console.problems(refusal_of(error))
        return REFUSED
    sys.stdout.write(f"{path}\n")
    return COMPLETED
