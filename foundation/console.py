"""The console: progress and messages on standard error, results on standard output, everything in log.txt."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firebox.foundation import streams
from firebox.foundation.aligned import aligned
from firebox.foundation.problems import Refusal, printable_lines

logger = logging.getLogger("firebox")

DRAWS_PER_SECOND = 10
LONGEST_BAR = 30
WIDEST = 10_000
"""Number of columns that a table may have where there is no terminal to fit into."""


class _AsWritten(Console):
    """A console that shows every text literally, in tables too, as names may contain markup or escape codes."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **{**options, "markup": False, "emoji": False})


messages: Console = _AsWritten(stderr=True, highlight=False, soft_wrap=True)
results: Console = _AsWritten(highlight=False, soft_wrap=True)


class _Lines(logging.Formatter):
    """Formats a record as printable text; lines after the first are indented, so that none looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record)).replace("\n", "\n    ")


_lost: list[str] = []
"""Messages about what the console has lost, one line each, for log.txt."""


class _Messages(logging.Handler):
    """Shows log records, above the progress bar if there is one."""

    draws = True

    def emit(self, record: logging.LogRecord) -> None:
        style = "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        messages.print(self.format(record), style=style, markup=False)


class _LogFile(logging.FileHandler):
    """A log file whose failure does not stop the run: what can't be written is lost, and the console says so once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._told = 0
        self._complete = True

    def emit(self, record: logging.LogRecord) -> None:
        for text in _lost[self._told :]:
            self._told += 1
            super().emit(logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (), None))
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, logging's own name
        if self._complete:
            self._complete = False
            _say_incomplete(Path(self.baseFilename), sys.exception())

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def outlive() -> None:
    """Makes sure that printing never stops the run, whatever happens to the console."""
    streams.outlive(_lost.append)
    results.quiet = False  # whatever an earlier command in the process was told


def start(*, quiet: bool, errors: bool = True) -> None:
    """Sets up the messages.

    Args:
        quiet: whether to show only warnings, errors and the run directory.
        errors: whether errors are shown; if not, they are written to log.txt alone.
    """
    outlive()
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    shown = _Messages(logging.WARNING if quiet else logging.INFO)
    shown.setFormatter(_Lines())
    if not errors:
        shown.addFilter(lambda record: record.levelno < logging.ERROR)
    logger.addHandler(shown)
    results.quiet = quiet


def silence() -> None:
    """Has nothing shown any more, because another process speaks."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(logging.NullHandler())
    results.quiet = True


@dataclass(slots=True)
class Borrowed:
    """The messages of a run that a program of the user's trains, which has the console only while it is at work.

    Args:
        quiet: whether to show only warnings.
    """

    quiet: bool
    _handlers: list[logging.Handler] | None = None

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Takes logging, standard output and standard error for the duration of the block, and gives them back."""
        before = logger.handlers[:], logger.level, logger.propagate, results.quiet
        streams_before = sys.stdout, sys.stderr
        logger.handlers[:] = []
        if self._handlers is None:
            start(quiet=self.quiet, errors=False)
        else:
            logger.handlers[:] = self._handlers
            logger.setLevel(logging.DEBUG)
            logger.propagate, results.quiet = False, self.quiet
        try:
            yield
        finally:
            self._handlers = logger.handlers[:]
            logger.handlers[:], level, logger.propagate, results.quiet = before
            logger.setLevel(level)
            for mine, theirs in zip((sys.stdout, sys.stderr), streams_before, strict=True):
                if mine is not theirs:
                    mine.flush()
            sys.stdout, sys.stderr = streams_before

    def without_bar(self) -> None:
        """Has no progress bar drawn from now on."""
        for handler in logger.handlers:
            if isinstance(handler, _Messages):
                handler.draws = False

    def ends(self) -> None:
        """Closes the run's log file at its end; to be called in the block, which gives back what was before."""
        for handler in logger.handlers:
            handler.close()


def draws_progress() -> bool:
    """Whether to draw a progress bar: on a terminal or in a notebook, unless messages are suppressed."""
    shown = [handler for handler in logger.handlers if isinstance(handler, _Messages)]
    return (messages.is_terminal or _in_notebook()) and any(
        handler.draws and handler.level <= logging.INFO for handler in shown
    )


def _in_notebook() -> bool:
    """Whether this is a notebook with what Rich redraws a bar with there."""
    return messages.is_jupyter and find_spec("ipywidgets") is not None


def bar(before: str, done: int, total: int, after: str) -> Text:
    """Returns a progress bar of the console's width between two texts."""
    ahead, behind = ("#", ".") if messages.options.ascii_only else ("━", "─")
    width = min(max(messages.width - len(before) - len(after) - 1, 0), LONGEST_BAR)
    filled = width * done // max(total, 1)
    return Text.assemble(before, (ahead * filled, "green"), (behind * (width - filled), "dim"), after, no_wrap=True)


def live(renderable: Callable[[], Text]) -> Live:
    """Returns a display that a thread of its own keeps redrawing below the messages, from ``start`` to ``stop``."""
    return Live(
        console=messages,
        get_renderable=renderable,
        refresh_per_second=DRAWS_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def log_to(path: Path) -> None:
    """Also writes all messages to a file, appended to what earlier processes wrote there."""
    try:
        file = _LogFile(path)
    except OSError as error:
        _say_incomplete(path, error)
        return
    file.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s"))
    logger.addHandler(file)


def _say_incomplete(path: Path, error: BaseException | None) -> None:
    reason = getattr(error, "strerror", None) or error
    text = f"{path} can't be written to ({reason}): the run goes on, without all that is said in it"
    messages.print(text, style="yellow", markup=False)


def tabulate(table: Table) -> None:
    """Prints a table, at its full width if standard output is not a terminal."""
    if not results.is_terminal:
        results.width = WIDEST
    text = aligned(table, results.width)
    results.print(table if text is None else text)


def as_text(table: Table) -> str:
    """Returns a table as plain text that is never wider than 80 columns, for log.txt."""
    lines = _AsWritten(file=StringIO(), width=80, highlight=False, color_system=None, force_jupyter=False)
    lines.print(table)
    return cast(StringIO, lines.file).getvalue().rstrip()


def problems(refusal: Refusal) -> None:
    """Shows every problem, one per line."""
    for problem in refusal.problems:
        messages.print(str(problem), style="bold red", markup=False)


def refused(refusal: Refusal) -> None:
    """Shows why nothing was trained. A refusal that another process reports has no problems of its own."""
    count = len(refusal.problems)
    if not count:
        return
    problems(refusal)
    messages.print(f"refused before training: {count} problem{'s' if count > 1 else ''}", markup=False)


def size(amount: int) -> str:
    """Returns a number of bytes in a suitable unit, such as ``1.5 MiB``."""
    value, units = float(amount), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
