"""The origin of an error: the innermost line of the user's own code that led to it."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from functools import cache
from types import FrameType


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Yields the frames that an error passed through, outermost first, each with its line."""
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next


def own_place(error: BaseException) -> str | None:
    """Returns ``file:line`` of the user's own code; None if the error passed through none of it."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in frames_of(error) if is_own(frame)]
    return places[-1] if places else None


def is_own(frame: FrameType) -> bool:
    """Whether a frame runs the user's own code, not that of Firebox, Python or an installed package."""
    if str(frame.f_globals.get("__name__")).partition(".")[0] == "firebox":
        return False
    return not frame.f_code.co_filename.startswith((*_installed(), "<"))


@cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")))
