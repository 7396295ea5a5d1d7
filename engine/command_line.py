"""The command line of the trainer scripts and of ``firebox``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.signatures import Target
from engine.trainer import Trainer


def train_script(trainer: Trainer, arguments: Sequence[str]) -> int:
    """Runs a trainer script; returns its exit code."""
    parser = argparse.ArgumentParser(description=f"Trains {trainer.summary}.")
    add_training_options(parser, trainer)
    return run_training(trainer, parser.parse_args(arguments))


def add_training_options(parser: argparse.ArgumentParser, trainer: Trainer) -> None:
    """The options of every trainer script and of ``firebox train``."""
    parser.add_argument("config", metavar="CONFIG", nargs="?", type=Path, help=f"default: {trainer.default}")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a value, such as training.epochs=3"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN_DIRECTORY",
        nargs="?",
        const="newest",
        help="continue a run; without a directory, the newest unfinished one of the same datamodule and model",
    )
    parser.add_argument(
        "--allow-change", metavar="KEY", action="append", default=[], help="let a resumed run differ in this key"
    )
    parser.add_argument("--check", action="store_true", help="run all guards and stop")
    parser.add_argument("--quiet", action="store_true", help="print only warnings, errors and the run directory")


def run_training(trainer: Trainer, options: argparse.Namespace) -> int:
    """Trains as the parsed options say."""
    from engine.launch import Request, launch

    request = Request(
        trainer=trainer,
        path=options.config,
        assignments=options.set,
        resume=options.resume,
        allowed_changes=options.allow_change,
        check=options.check,
        quiet=options.quiet,
    )
    return launch(request)


def trainers() -> dict[str, Trainer]:
    """Returns every trainer of the catalogue by name."""
    from engine.components import catalogue

    return {name: Target.parse(reference).load() for name, reference in catalogue("trainer").items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``firebox``; returns its exit code."""
    parser = argparse.ArgumentParser(prog="firebox", description="An event-driven training engine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train, as the trainer's script does")
    names = train.add_subparsers(dest="trainer", required=True, metavar="NAME")
    known = trainers()
    for name, trainer in known.items():
        add_training_options(names.add_parser(name, help=trainer.summary), trainer)
    options = parser.parse_args(arguments)
    return run_training(known[options.trainer], options)


if __name__ == "__main__":
    sys.exit(main())
