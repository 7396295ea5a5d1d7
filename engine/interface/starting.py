"""Runs to train from Python: new ones, and resumed ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from firebox.engine.commands.config import trainer_of
from firebox.engine.configuration.core_schema import write_inline
from firebox.engine.configuration.values import Unreadable, recorded_values
from firebox.foundation.problems import Problem, Refusal, shown

if TYPE_CHECKING:
    from firebox.engine.interface.training import Training


def build(
    config: str | os.PathLike[str] | None = None, *, trainer: str | None = None, quiet: bool = False, **settings: Any
) -> Training:
    """Builds a run from a configuration, checked by all guards; nothing is written before the first step.

    Args:
        config: path of the configuration; None for the trainer's default configuration.
        trainer: name of the trainer; None for the one that the configuration names.
        quiet: whether only warnings are shown.
        settings: settings that replace those of the configuration: ``seed=3``, ``training={"epochs": 2}`` or
            ``**{"training.epochs": 2}``, as ``--set training.epochs=2`` in a shell.

    Raises:
        Refusal: the run can't work; the message is what the shell prints.
        Stopped: a signal stopped it.
    """
    from firebox.engine.interface.training import Training
    from firebox.engine.launch.admission import Request

    known = trainer_of(None if config is None else Path(config), trainer)
    path = None if config is None else Path(config)
    return Training(Request(known, path, assignments=list(assignments(settings)), quiet=quiet))


def resume(
    directory: str | os.PathLike[str], *, allow_change: Sequence[str] = (), quiet: bool = False, **settings: Any
) -> Training:
    """Prepares to continue a run from its newest valid checkpoint, which is loaded at the first step.

    Args:
        directory: the run's directory.
        allow_change: keys in which the run may differ from now on, such as ``["training.epochs"]``.
        quiet: whether only warnings are shown.
        settings: as for ``build``.

    Raises:
        Refusal: there is no such run, it is completed, or it would be another one.
        Stopped: a signal stopped it.
    """
    from firebox.engine.interface.training import Training
    from firebox.engine.launch.admission import Request

    path = Path(directory)
    try:
        name = recorded_values(path / "config.yaml").get("trainer")
    except Unreadable as error:
        raise Refusal([Problem("", f"can't be resumed: {error}")]) from None
    known = trainer_of(path / "config.yaml", name if isinstance(name, str) else None)
    given = list(assignments(settings))
    return Training(Request(known, None, given, resume=str(path), allowed_changes=list(allow_change), quiet=quiet))


def assignments(settings: Mapping[str, Any], key: str = "") -> Iterator[str]:
    """Yields settings as ``KEY=VALUE``; a map sets each of its keys, and leaves others as they are.

    Raises:
        Refusal: a value can't be written in a configuration.
    """
    for name, value in settings.items():
        dotted = f"{key}.{name}" if key else str(name)
        if isinstance(value, Mapping) and value:
            yield from assignments(value, dotted)
            continue
        try:
            text = write_inline(os.fspath(value) if isinstance(value, os.PathLike) else value)
        except yaml.YAMLError:
            message = f"got {shown(value)} ({type(value).__name__}), expected what a configuration can hold"
            raise Refusal([Problem(dotted, f"{message}: numbers, texts, lists and dicts of them")]) from None
        yield f"{dotted}={text}"
