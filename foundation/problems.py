"""What a user did that can't work: where, what was given, what is expected, and a way out."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST_ERROR = 1500
"""Characters that are shown of what somebody else's code raised."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value was written: a place in a file, or the command-line option that gave it.

    Args:
        source: a file's path, or an option such as ``--set training.epochs``.
        line: counted from 1; None where the source has no lines.
        column: counted from 1.
    """

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that can't work.

    Args:
        key: the dotted key it is about, such as ``model.latent_dim``; empty for a whole file.
        message: what was given, what is expected, and a way out.
        mark: where the value was written; None where it is a default.
    """

    key: str
    message: str
    mark: Mark | None = None

    def __str__(self) -> str:
        place = f"{self.mark}  " if self.mark else ""
        subject = f"{self.key}: " if self.key else ""
        return printable(f"{place}{subject}{self.message}")


class Refusal(ValueError):
    """A run refused before training, with every problem found. Exit code 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def refuse(problems: Sequence[Problem]) -> None:
    """Raises a Refusal where there are problems."""
    if problems:
        raise Refusal(problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Returns problems in the order in which their places stand in their files, each once."""

    def place(problem: Problem) -> tuple[str, int, int]:
        mark = problem.mark or Mark("")
        return mark.source, mark.line or 0, mark.column or 0

    return sorted(dict.fromkeys(problems), key=place)


def suggestion(given: str, known: Iterable[str]) -> str:
    """Returns the closest known name and the list of all, as the end of a message."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    listed = f"expected one of: {', '.join(names)}" if names else "none exist"
    return f"did you mean {close[0]}? {listed}" if close else listed


def setting(key: str, value: str) -> str:
    """Returns the option that sets a value, as it is typed into a shell: a way out that a message proposes."""
    return f"--set {shlex.quote(f'{key}={value}')}"


def shown(value: object, limit: int = 80) -> str:
    """Returns a value as it is quoted in a message: on one line, cut where it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Returns a text on one line, with what a terminal would act on written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Returns a text of several lines with what a terminal would act on written as an escape."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def in_one_line(error: BaseException) -> str:
    """Returns what an error says, on one line: a ValueError's text speaks to the user, others are named."""
    # What torch's C++ raises carries its own stack along.
    text = printable(" ".join(text_of(error).partition("Exception raised from")[0].split()))
    text = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 3]}..."
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Returns the text of an error, even of one whose text can't be had."""
    try:
        return str(error)
    except Exception as another:
        return f"its text can't be had, which raises {type(another).__name__}"


class TrainingFailure(RuntimeError):
    """What stopped a training and needs no traceback: the message says it all. Exit code 1."""


class Interrupted(BaseException):
    """A stop was requested while a batch was awaited: between two iterations, where a run can be saved as it is.

    Not an ``Exception``: a data set that skips the samples it cannot read must not skip this.
    """
