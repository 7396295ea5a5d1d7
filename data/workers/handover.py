"""Whether data can be handed to worker processes, and if not, which part of it is in the way."""

from __future__ import annotations

import io
import multiprocessing
import re
import sys
from multiprocessing import context, spawn
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import torch

from firebox.data.declarations.data_error import DataError
from firebox.foundation.places import own_place
from firebox.foundation.problems import in_one_line

DEEPEST = 8
"""Number of attributes that are followed to the part that can't be handed over."""
GUARD = 'if __name__ == "__main__":'
ASKS = re.compile(r"\b(__name__|parent_process|current_process|environ|getenv|exit|SystemExit)\b")
"""What a script may tell a process that imports it by from the one that runs it."""


def require_handover(source: object) -> None:
    """Tries to pickle a source if workers are not forks of this process.

    Raises:
        DataError: it can't be pickled, or workers can't import the script, or would train by importing it; the message
            has the part and the way out.
    """
    method = multiprocessing.get_start_method()
    if method == "fork":
        return
    script = spawn.get_preparation_data("").get("init_main_from_path")
    if script is not None and not Path(script).is_file():
        raise DataError(
            f"worker processes that are started by {method} import the script again, but {script} is no file; "
            "expected a script that is saved in one, or workers: 0"
        )
    line = None if script is None else _unguarded(Path(script))
    if line is not None:
        raise DataError(
            f"{script}:{line}: worker processes that are started by {method} import this script again, which would "
            f"train it again; expected the call that trains below: {GUARD}"
        )
    error = _obstacle(source)
    if error is None:
        return
    part, error = _culprit(source, error)
    place = own_place(error)
    raise DataError(
        f"the data can't be handed to worker processes that are started by {method}: {part}: {in_one_line(error)}"
        f"{f' ({place})' if place else ''}; expected what pickle takes: a function of a module instead of a lambda, "
        "a file opened in __getitem__; or workers: 0, or a script that calls "
        'multiprocessing.set_start_method("fork")'
    )


def _unguarded(script: Path) -> int | None:
    """Returns the line that the running script is at if whoever imports it runs it, too; None if that is not certain.

    It is where nothing up to that line asks which process this is. Otherwise each worker refuses to train by itself:
    once it has imported all that the script does, and as many times as there are workers.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and (frame.f_code.co_name, frame.f_globals.get("__name__")) != ("<module>", "__main__"):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename != str(script):
        return None
    lines = script.read_text(errors="replace").splitlines()[: frame.f_lineno]
    return None if any(map(ASKS.search, lines)) else frame.f_lineno


def _obstacle(value: object) -> Exception | None:
    """Returns why a value can't be pickled for a worker; None if it can."""
    outer = context.get_spawning_popen()
    context.set_spawning_popen(_Nobody())  # type: ignore[arg-type]
    try:
        _Trial(io.BytesIO()).dump(value)
    except Exception as error:  # a data set's own __getstate__ may raise anything
        return error
    finally:
        context.set_spawning_popen(outer)
    return None


def _culprit(value: object, error: Exception) -> tuple[str, Exception]:
    """Returns the innermost part of a value that can't be pickled, by the way to it, and why."""
    way = type(value).__name__
    for _ in range(DEEPEST):
        for name, part in _parts(value):
            inner = _obstacle(part)
            if inner is not None:
                # What the user knows begins with an object of their own.
                own = not type(value).__module__.startswith("firebox.")
                way = f"{way}{name}" if own else type(part).__name__
                value, error = part, inner
                break
        else:
            break
    return way, error


def _parts(value: object) -> list[tuple[str, object]]:
    """Returns what is pickled of a value, by what is written behind the value to get it."""
    if isinstance(value, list | tuple):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    if not isinstance(value, dict):
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            return []
        state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
        return [(f".{name}", part) for name, part in state.items()] if isinstance(state, dict) else []
    return [(f"[{key!r}]", part) for key, part in value.items()]


class _Trial(ForkingPickler):
    """Pickles all but the content of tensors and arrays, which can be large, and of which nothing is in the way."""

    def reducer_override(self, value: object) -> Any:
        if type(value) in (torch.Tensor, torch.UntypedStorage):
            return int, ()
        if type(value) is numpy.ndarray and not value.dtype.hasobject:
            return int, ()
        return NotImplemented


class _Nobody:
    """Stands for the process to be started, which locks and pipes are handed to."""

    def duplicate_for_child(self, descriptor: int) -> int:
        return descriptor

    def DupFd(self, descriptor: int) -> int:  # noqa: N802 - the name that multiprocessing calls
        return descriptor
