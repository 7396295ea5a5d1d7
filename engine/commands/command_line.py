"""The command line of the trainer scripts and of ``firebox``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from firebox.engine.commands import CATALOGUE
from firebox.engine.commands.train import add_training_options, run_training
from firebox.engine.configuration.trainer import Trainer
from firebox.foundation import console


def run_trainer(trainer: Trainer) -> NoReturn:
    """Runs a trainer script with the arguments of the command line, and exits."""
    console.outlive()
    sys.exit(train_script(trainer, sys.argv[1:]))


def train_script(trainer: Trainer, arguments: Sequence[str]) -> int:
    """Runs a trainer script; returns its exit code."""
    parser = argparse.ArgumentParser(description=f"Trains {trainer.summary}.")
    add_training_options(parser, trainer)
    return run_training(trainer, parser.parse_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``firebox``; returns its exit code."""
    console.outlive()
    parser = argparse.ArgumentParser(prog="firebox", description="An event-driven training engine.")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands: dict[str, Any] = {name: importlib.import_module(module) for name, module in CATALOGUE.items()}
    for name, command in commands.items():
        summary = command.__doc__.splitlines()[0]
        command.add_options(parsers.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    exit_code: int = commands[options.command].run(options)
    return exit_code
