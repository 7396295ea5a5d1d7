"""Hand an archive on: into a folder with a README, or to a Hugging Face hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.places import refusal_of


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "archive", metavar="ARCHIVE", help="a folder, or a name such as fashion_mini/archived_v1_2026-11-24"
    )
    parser.add_argument("place", metavar="FOLDER|hf://USER/NAME", help="a folder, or a repository on the hub")
    parser.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("runs"), help="that all runs are below (default: runs)"
    )


def run(options: argparse.Namespace) -> int:
    from firebox.engine.archives.finding import find_archive
    from firebox.engine.exports.pushing import push

    console.start(quiet=False)
    try:
        place = push(find_archive(options.archive, options.root), options.place)
    except BaseException as error:
        console.problems(refusal_of(error))
        return REFUSED
    sys.stdout.write(f"{place}\n")
    return COMPLETED
