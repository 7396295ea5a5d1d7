"""Print the resolved configuration with the origin of each value."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from firebox.engine.commands.train import trainers
from firebox.engine.configuration import Configuration, plain, read
from firebox.engine.configuration.core_schema import write_inline
from firebox.engine.configuration.layers import load
from firebox.engine.configuration.trainer import Trainer
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Problem, Refusal, shown, suggestion


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="override a value")
    parser.add_argument("--trainer", metavar="NAME", help="trainer (default: the one that CONFIG names)")


def run(options: argparse.Namespace) -> int:
    try:
        configuration = read_configuration(options.config, options.trainer, options.set)
    except Refusal as refusal:
        console.refused(refusal)
        return REFUSED
    sys.stdout.write(annotated(configuration))
    return COMPLETED


def read_configuration(path: Path, trainer: str | None, assignments: Sequence[str]) -> Configuration:
    """Reads a configuration for a trainer, or for the one that it names itself.

    Raises:
        Refusal: it can't be read, or no trainer is known.
    """
    known = trainer_of(path, trainer)
    return read(known.name, known.default, path, assignments)


def trainer_of(path: Path | None, name: str | None) -> Trainer:
    """Returns the trainer of a name, or the one that a configuration names.

    Raises:
        Refusal: it names none, or there is no such trainer.
    """
    known = trainers()
    if name is None:
        if path is None:
            raise Refusal([Problem("trainer", f"missing; expected a configuration, or one of: {', '.join(known)}")])
        root = load(path)
        if not root.has("trainer"):
            raise Refusal([Problem("trainer", "missing; expected it in the file, or --trainer NAME", root.mark)])
        name, mark = root.value["trainer"].plain(), root.value["trainer"].mark
    else:
        mark = None
    if not isinstance(name, str) or name not in known:
        raise Refusal([Problem("trainer", f"got {shown(name)}; {suggestion(str(name), known)}", mark)])
    return known[name]


def annotated(configuration: Configuration) -> str:
    """Returns a configuration as YAML that is valid as a file, with the origin of each value in a comment."""
    lines = list(_lines(plain(configuration, Path.cwd()), configuration, (), ""))
    width = max(len(line) for line, origin in lines if origin)
    return "".join(f"{line:<{width}}  # {origin}\n" if origin else f"{line}\n" for line, origin in lines)


def _lines(
    content: dict[str, Any], configuration: Configuration, path: tuple[str, ...], indent: str
) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = write_inline(key)
        if path == () and key == "handlers":
            yield f"{name}:", ""
            for entry in value:
                for line, origin in _lines(entry, configuration, (key,), "    "):
                    starts = not line.startswith("     ")
                    yield (f"  - {line[4:]}" if starts else line), origin
        elif isinstance(value, dict) and value and len(path) < 2:
            yield f"{indent}{name}:", ""
            yield from _lines(value, configuration, (*path, key), f"{indent}  ")
        else:
            mark = configuration.mark(*path, key)
            yield f"{indent}{name}: {write_inline(value)}", str(mark) if mark else "default"
