"""How a data set may read its files: by how many processes, for how long, and where it may keep what it has decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OnBadFile = Literal["refuse", "skip"]
"""What to do about files and samples that can't be decoded."""


def never() -> bool:
    """Says that no stop was requested."""
    return False


def unseen(what: str, done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a data set may read its files.

    Args:
        workers: number of processes that decode files before the training; 0 decodes in this one.
        timeout: longest time that a batch of samples may take, in seconds.
        stopping: function that says whether a stop was requested.
        progress: function that is told what is done, how many samples are done, and of how many.
        cache: folder for decoded samples; None to keep none.
        asked: whether the user named that folder, rather than leaving the choice to the run.
        cache_bytes: most bytes that the folder may take.
        content: whether files are recognised by the SHA-256 of their content, rather than by size and time of change.
    """

    workers: int = 0
    timeout: float = 600.0
    stopping: Callable[[], bool] = never
    progress: Callable[[str, int, int], None] = unseen
    cache: Path | None = None
    asked: bool = False
    cache_bytes: int = 64 << 30
    content: bool = False
