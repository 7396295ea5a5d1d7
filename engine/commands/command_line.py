"""The command line of the trainer scripts and of ``firebox``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from firebox.engine.commands import CATALOGUE, completion
from firebox.foundation import console, streams
from firebox.foundation.exit_codes import COMPLETED, FAILED
from firebox.foundation.package import version
from firebox.foundation.problems import similar

if TYPE_CHECKING:
    from firebox.engine.configuration.trainer import Trainer

USE = """to begin:
  firebox new my_project            a folder of your own with a configuration, a model, data, a handler and a test
  firebox list                      what a configuration may name
  firebox train cae_baseline        trains the default configuration; --check only looks whether it would work
  firebox train cae_baseline CONFIG --set training.epochs=3
  firebox train cae_baseline CONFIG --resume
  firebox runs                      what was trained
"""


def run_trainer(trainer: Trainer) -> NoReturn:
    """Runs a trainer script with the arguments of the command line, and exits."""
    console.outlive()
    sys.exit(train_script(trainer, sys.argv[1:]))


def train_script(trainer: Trainer, arguments: Sequence[str]) -> int:
    """Runs a trainer script; returns its exit code."""
    from firebox.engine.commands.train import add_training_options, run_training

    parser = argparse.ArgumentParser(description=f"Trains {trainer.summary}.")
    add_training_options(parser, trainer)
    return run_training(trainer, parser.parse_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``firebox``; returns its exit code.

    A command whose result can't be printed has failed, unless its reader left; what a training prints, its files have.
    """
    console.outlive()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
    except SystemExit as ended:  # of the parser, after help or a mistake
        if ended.code or not _loses(given):
            raise
        return FAILED
    return FAILED if code == COMPLETED and _loses(given) else code


def _loses(given: list[str]) -> bool:
    """Whether a result is lost because it could not be printed, and says so."""
    lost = streams.unwritten()
    if lost is None or given[:1] in (["train"], ["sweep"]):
        return False
    console.messages.print(f"can't print the result: {lost.strerror}", style="bold red", markup=False)
    return True


def _run(given: list[str]) -> int:
    parser = Parser(
        prog="firebox",
        description="An event-driven training engine.",
        epilog=USE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version that is installed")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=argparse.ArgumentParser)
    # A command that is named needs none of the others, whose import takes longer than what some commands do.
    named = given[:1] if given[:1] and given[0] in CATALOGUE and not completion.asked() else CATALOGUE
    commands: dict[str, Any] = {name: importlib.import_module(CATALOGUE[name]) for name in named}
    for name, command in commands.items():
        summary = command.__doc__.splitlines()[0]
        command.add_options(parsers.add_parser(name, help=summary, description=summary))
    completion.complete(parser)
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help()
        return COMPLETED
    exit_code: int = commands[options.command].run(options)
    return exit_code


class Version(argparse.Action):
    """Prints the version, which is looked up for this alone."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        console.results.print(f"firebox {version('firebox') or 'is used from a checkout that is not installed'}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser that suggests the command that a mistyped one is closest to."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            close = similar(str(value), map(str, action.choices))
            raise argparse.ArgumentError(None, f"there is no command {value}{close or '; firebox lists them'}")
