"""What a run says: progress and messages on standard error, results and the run directory on standard output."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from engine.problems import Refusal, TrainingFailure

if TYPE_CHECKING:
    from engine.configuration import Configuration
    from engine.preflight import Report
    from engine.run import Run
    from engine.run_directory import RunDirectory, State

logger = logging.getLogger("firebox")

messages = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True)


class _Messages(logging.Handler):
    """Shows log records above a progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        messages.print(self.format(record), style=style, markup=False)


def start(*, quiet: bool) -> None:
    """Sets up the messages. Quiet: only warnings, errors and the run directory."""
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    shown = _Messages(logging.WARNING if quiet else logging.INFO)
    logger.addHandler(shown)
    results.quiet = quiet


def draws_progress() -> bool:
    """Whether a progress bar is to be drawn: standard error is a terminal, and its messages are not kept quiet."""
    shown = [handler for handler in logger.handlers if isinstance(handler, _Messages)]
    return messages.is_terminal and any(handler.level <= logging.INFO for handler in shown)


def log_to(path: Path) -> None:
    """Keeps everything that is said in a file, too; appended to what earlier runs of the directory said."""
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.addHandler(file)


def filled(configuration: Configuration, default: Path) -> None:
    """Says which parts came from the trainer's default configuration."""
    for part in configuration.filled:
        named = configuration.data.named if part in ("datamodule", "datagenerator") else getattr(configuration, part)
        logger.info("%s: not given, taken from %s: %s", part, default, named.name)


def started(run: Run) -> None:
    """Says what is about to be trained, and where it goes."""
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    where = f"from iteration {run.iteration}" if run.iteration else "from the start"
    logger.info(
        "%s: %s on %s, %s parameters, %d images, %d epochs of %d iterations, on %s, %s",
        run.configuration.trainer,
        run.configuration.model.component.short_name,
        run.configuration.data.named.component.short_name,
        f"{parameters:,}",
        run.streams["train"].samples,
        run.configuration.training.epochs,
        run.epoch_length,
        run.device,
        where,
    )
    for split, stream in run.streams.items():
        level = logging.INFO if split == "train" else logging.DEBUG
        logger.log(level, "%s: %d images, placement %s: %s", split, stream.samples, stream.placement, stream.why)
    logger.info("run directory: %s", run.directory.path)


def tabulate(table: Table) -> None:
    """Prints a table; where standard output is no terminal, as wide as the table is."""
    if not results.is_terminal:
        results.width = max(results.width, Measurement.get(results, results.options.update(width=1000), table).maximum)
    results.print(table)


def problems(refusal: Refusal) -> None:
    """Shows every problem, a line each."""
    for problem in refusal.problems:
        messages.print(str(problem), style="bold red", markup=False)


def refused(refusal: Refusal) -> None:
    """Shows why nothing was trained."""
    problems(refusal)
    count = len(refusal.problems)
    messages.print(f"refused before training: {count} problem{'s' if count > 1 else ''}", markup=False)


def failed(error: Exception, configuration: Configuration) -> str:
    """Reports what stopped the training; returns it in one line."""
    if _is_out_of_memory(error):
        batch = f"{configuration.data.kind}.batch_size {configuration.data.loading.batch_size}"
        estimate = _estimated_memory(configuration)
        way_out = "lower it, or raise training.accumulation"
        reason = f"out of memory at {batch}{estimate}; {way_out}: {str(error).splitlines()[0]}"
    elif isinstance(error, TrainingFailure):
        reason = str(error)
    elif isinstance(error, OSError):
        reason = f"can't write: {error}"
    else:
        reason = f"{type(error).__name__}: {error}"
        logger.error("%s", "".join(traceback.format_exception(error)).rstrip())
    logger.error("%s", reason)
    return reason.splitlines()[0] if reason else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    """torch has an error of its own for accelerators alone; the CPU's allocator raises a RuntimeError."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _estimated_memory(configuration: Configuration) -> str:
    """What the run was estimated to take, as a part of a message; nothing where that can't be said."""
    from engine.preflight import Preflight, Unavailable, size

    try:
        return f", where the run was estimated to take {size(Preflight(configuration).costs.memory)}"
    except (Unavailable, Refusal):
        return ""


def completed_already(directory: RunDirectory, configuration: Configuration) -> None:
    """Says that there is nothing to resume, and how to go on all the same."""
    status = directory.status()
    epochs = configuration.training.epochs
    logger.info("%s is completed: %s, iteration %d", directory.path, status.reason, status.iteration)
    logger.info(
        "to train it longer: --resume %s --set training.epochs=%d --allow-change training.epochs",
        directory.path,
        2 * epochs,
    )
    _last_line(directory)


def checked(report: Report) -> None:
    """Shows what was checked."""
    for table in report.tables():
        results.print(table)


def ended(run: Run, state: State, reason: str) -> None:
    """Shows the results; the last line on standard output is the run directory."""
    if state == "completed":
        results.print(_metrics(run))
        logger.info("completed: %s", reason)
    elif state == "interrupted":
        logger.warning("interrupted: %s at iteration %d; --resume continues", reason, run.iteration)
    _last_line(run.directory)


def _metrics(run: Run) -> Table:
    """A row a split, a column a metric."""
    splits = dict.fromkeys(name.partition("/")[0] for name in run.metrics)
    names = dict.fromkeys(name.partition("/")[2] for name in run.metrics)
    table = Table("split", *names, title=f"after {run.iteration} iterations")
    for split in splits:
        values = [run.metrics.get(f"{split}/{name}") for name in names]
        table.add_row(split, *("" if value is None else f"{value:.6g}" for value in values))
    return table


def _last_line(directory: RunDirectory) -> None:
    sys.stdout.write(f"{directory.path}\n")
    sys.stdout.flush()
