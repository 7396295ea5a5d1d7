"""The command-line arguments of every script that takes an archive."""

from __future__ import annotations

import argparse
from pathlib import Path


def archive_parser(summary: str) -> argparse.ArgumentParser:
    """Returns a parser of the archive's name and of what its loading needs.

    Args:
        summary: one line on what the script does.
    """
    parser = argparse.ArgumentParser(description=summary)
    add_archive_options(parser)
    return parser


def add_archive_options(parser: argparse.ArgumentParser) -> None:
    """Adds the archive's name and what its loading needs."""
    parser.add_argument(
        "archive",
        metavar="ARCHIVE",
        help="a folder, a name such as fashion_mini/archived_v1_2026-11-24, or hf://USER/NAME",
    )
    parser.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("runs"), help="that all runs are below (default: runs)"
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="run the code that the archive holds, if it has any of its own",
    )


def positive(text: str) -> int:
    """Parses a positive whole number."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


positive.__name__ = "positive whole number"  # argparse uses this name in its messages
