"""The origin of an error: the innermost line of the user's own code that led to it."""

from __future__ import annotations

import logging
import signal
import sysconfig
from collections.abc import Iterator
from functools import cache
from types import FrameType

from firebox.foundation.copies import known_as
from firebox.foundation.problems import Problem, Refusal, in_one_line

logger = logging.getLogger("firebox")


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Yields the frames that an error passed through, outermost first, each with its line."""
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next


def origin(error: BaseException) -> BaseException:
    """Returns the error that an error was made of on its way: Python turns a StopIteration that leaves a generator
    into a RuntimeError, which passed through none of the user's own code."""
    if own_place(error) is None and isinstance(error.__cause__, StopIteration):
        return error.__cause__
    return error


def own_place(error: BaseException) -> str | None:
    """Returns ``file:line`` of the user's own code; None if the error passed through none of it."""
    places = [f"{known_as(frame.f_code.co_filename)}:{line}" for frame, line in frames_of(error) if is_own(frame)]
    return places[-1] if places else None


def is_own(frame: FrameType) -> bool:
    """Whether a frame runs the user's own code, not that of Firebox, Python or an installed package."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] != "firebox" and not is_installed(frame)


def is_installed(frame: FrameType) -> bool:
    """Whether a frame runs code of Python or of an installed package, or code without a file."""
    return frame.f_code.co_filename.startswith((*_installed(), "<"))


def refusal_of(error: BaseException) -> Refusal:
    """Returns what ended a command before the training as a refusal: one itself, or a user's own error in one line.

    Raises:
        BaseException: the error itself, if it came through none of a user's own code, or from the keyboard.
    """
    if isinstance(error, Refusal):
        return error
    logger.debug("a user's own code fails", exc_info=error)
    place = own_place(error := origin(error))
    if place is None or from_keyboard(error):
        raise error
    return Refusal([Problem("", f"{place}: {in_one_line(error)}")])


def from_keyboard(error: BaseException) -> bool:
    """Whether an error is the user's Ctrl-C. Once a run handles the signal itself, a KeyboardInterrupt is not."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")))
