"""Problems that a user can cause: where they are, what was given, what is expected, and a remedy."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from firebox.foundation.copies import known_as

LONGEST_ERROR = 1500
"""Number of characters shown of an error that other code raised."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value was written: a place in a file, or the command-line option that gave it.

    Args:
        source: path of a file, or an option such as ``--set training.epochs``.
        line: line number, starting at 1; None if the source has no lines.
        column: column number, starting at 1; None if the source has no lines.
    """

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{known_as(self.source)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A single problem with a configuration or a run.

    Args:
        key: dotted key that the problem is about, such as ``model.latent_dim``; empty for a whole file.
        message: what was given, what is expected, and a remedy.
        mark: place where the value was written; None if it is a default.
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
    """Raises a Refusal if there are any problems."""
    if problems:
        raise Refusal(problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Returns problems in the order of their places in the files, without duplicates."""

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


def similar(given: str, known: Iterable[str]) -> str:
    """Returns a question for the closest known name, as the end of a message; an empty text if none is close."""
    close = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def listed(names: Collection[str], limit: int = 5) -> str:
    """Returns the first names as part of a message, and the number of the others."""
    first = ", ".join(islice(names, limit))
    return first if len(names) <= limit else f"{first} and {len(names) - limit:,} more"


def counted(number: int, noun: str) -> str:
    """Returns a number of things as part of a message; the noun's plural ends in s."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def setting(key: str, value: str) -> str:
    """Returns the command-line option that sets a value, quoted for a shell, for use in a message."""
    return f"--set {shlex.quote(f'{key}={value}')}"


def shown(value: object, limit: int = 80) -> str:
    """Returns a value for display in a message: on one line, shortened if it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Returns a text on one line, with characters that a terminal would act on escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Returns a text of several lines, with characters that a terminal would act on escaped."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def in_one_line(error: BaseException) -> str:
    """Returns an error's message on one line. The class is named, except for a ValueError, which addresses the user."""
    # Errors of torch's C++ code contain their own stack.
    text = printable(" ".join(text_of(error).partition("Exception raised from")[0].split()))
    text = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 3]}..."
    if isinstance(error, ValueError | TrainingFailure) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Returns the message of an error, even if producing it fails."""
    try:
        return str(error)
    except Exception as another:
        return f"its text can't be had, which raises {type(another).__name__}"


class TrainingFailure(RuntimeError):
    """A failure that stops the training and needs no traceback: the message says everything. Exit code 1."""


class Interrupted(BaseException):
    """A stop was requested while waiting for a batch, between two iterations, where the run can be saved.

    Not an ``Exception``, so that a data set that skips samples it can't read does not swallow it.
    """
