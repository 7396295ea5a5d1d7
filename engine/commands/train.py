"""Train a model, as the trainer's script does."""

from __future__ import annotations

import argparse
from pathlib import Path

from firebox.engine.components.catalogue import catalogue
from firebox.engine.components.targets import Target
from firebox.engine.configuration.trainer import Trainer


def add_options(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="trainer", required=True, metavar="NAME")
    for name, trainer in trainers().items():
        add_training_options(names.add_parser(name, help=trainer.summary), trainer)


def run(options: argparse.Namespace) -> int:
    return run_training(trainers()[options.trainer], options)


def trainers() -> dict[str, Trainer]:
    """Returns every trainer of the catalogue by name."""
    return {name: Target.parse(reference).load() for name, reference in catalogue("trainer").items()}


def add_training_options(parser: argparse.ArgumentParser, trainer: Trainer) -> None:
    """Adds the options of every trainer script and of ``firebox train NAME``."""
    parser.add_argument("config", metavar="CONFIG", nargs="?", type=Path, help=f"default: {trainer.default}")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a value, such as training.epochs=3"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN_DIRECTORY",
        nargs="?",
        const="newest",
        help="continue a run; without a directory, the newest one of this configuration, an unfinished one first",
    )
    parser.add_argument(
        "--allow-change", metavar="KEY", action="append", default=[], help="allow a resumed run to differ in this key"
    )
    parser.add_argument("--check", action="store_true", help="run all guards without training")
    parser.add_argument("--quiet", action="store_true", help="print only warnings, errors and the run directory")


def run_training(trainer: Trainer, options: argparse.Namespace) -> int:
    """Trains according to the parsed options; returns the exit code."""
    from firebox.engine.launch.admission import Request
    from firebox.engine.launch.launch import launch

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
