"""The messages at the start and at the end of a run."""

from __future__ import annotations

import logging
import shlex
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.table import Table

from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Split
from firebox.engine.configuration import Configuration
from firebox.engine.launch import culprits
from firebox.engine.records.results import results_table
from firebox.engine.records.run_directory import RunDirectory, State
from firebox.foundation.console import as_text, results, size
from firebox.foundation.places import origin
from firebox.foundation.problems import (
    TrainingFailure,
    counted,
    in_one_line,
    printable,
    setting,
    text_of,
)

if TYPE_CHECKING:
    from firebox.data.bases.datamodule import DataModule
    from firebox.data.division.listing import Listing
    from firebox.data.streaming.stream import BatchStream
    from firebox.engine.checks.report import Report
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

FEW_CLASSES = 20
"""Number of classes up to which a run names each."""


def filled(configuration: Configuration, default: Path) -> None:
    """Names the parts taken from the trainer's default configuration."""
    for part in configuration.filled:
        named = configuration.data.named if part in ("datamodule", "datagenerator") else getattr(configuration, part)
        logger.info("%s: not given, taken from %s: %s", part, default, named.name)


def started(run: Run) -> None:
    """Announces what is about to be trained, and the run directory."""
    from firebox.engine.training.devices.memory_format import overrunning  # imports torch

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
    listed(run.data)
    for split, stream in run.streams.items():
        level = logging.INFO if split == "train" else logging.DEBUG
        logger.log(level, "%s: %d images, placement %s: %s", split, stream.samples, stream.placement, stream.why)
    limit = run.configuration.data.loading.limit
    if limit is not None:
        whole = run.data.whole.split_lengths
        used = [f"{stream.samples:,} of {whole[split]:,} {split}" for split, stream in run.streams.items()]
        logger.info("limit %d: %s", limit, ", ".join(used))
    if run.configuration.data.loading.sampling == "balanced":
        logger.info("train: balanced: %s", _turns(run.streams["train"]))
    if run.warm_start is not None and not run.iteration:
        logger.info("model.weights: %s", run.warm_start)
    layer = overrunning(run.model)
    if run.configuration.training.channels_last and run.device.type == "cpu" and layer is not None:
        logger.info("trains without channels_last: %s, a 1x1 convolution with a stride, would corrupt memory", layer)
    logger.info("run directory: %s", run.directory.path)


def _turns(stream: BatchStream) -> str:
    """Returns how often classes are drawn so that they are equally frequent."""
    assert stream.labels is not None
    sizes = stream.labels.cpu().unique(return_counts=True)[1].tolist()
    share = stream.samples / len(sizes)
    often = [f"{share / size:.3g} times" for size in (min(sizes), max(sizes))]
    drawn = f"an epoch draws each image of the smallest {often[0]}, of the largest {often[1]}"
    return f"classes of {min(sizes):,} to {max(sizes):,} images; {drawn}"


def listed(data: DataModule) -> None:
    """Says what the files of a data set were taken for, and what was left out."""
    listing = data.listing
    if listing is None:
        return
    lengths = data.split_lengths
    held_out = " held out of train" * ("validation" not in listing.splits)
    present = [split for split in get_args(Split) if lengths.get(split)]
    splits = [f"{split} {lengths[split]:,}{held_out * (split == 'validation')}" for split in present]
    what = _classes(listing, data.skipped or ()) if listing.held is None else f"in {counted(len(listing), 'file')}"
    logger.info("%s: images: %s; %s", printable(str(listing.root)), ", ".join(splits), what)
    for note in listing.notes:
        logger.info("%s", note)
    for warning in listing.warnings:
        logger.warning("%s", warning)


def _classes(listing: Listing, skipped: Collection[str]) -> str:
    """Returns the classes and their numbers of images in all splits, without those that are skipped."""
    names = listing.classes
    if not names:
        return "no classes"
    counts, left_out = Counter(listing.labels), set(skipped)
    if left_out:
        counts.subtract(label for name, label in zip(listing.names, listing.labels, strict=True) if name in left_out)
    if len(names) <= FEW_CLASSES:
        each = ", ".join(f"{name} {counts[label]:,}" for label, name in enumerate(names))
        return f"{len(names)} classes: {each}" if len(names) > 1 else f"1 class: {each}"
    fewest, most = (choose(range(len(names)), key=counts.__getitem__) for choose in (min, max))
    least = f"{counted(counts[fewest], 'image')} ({names[fewest]})"
    return f"{len(names):,} classes, from {least} to {counts[most]:,} ({names[most]})"


def failed(error: BaseException, configuration: Configuration, estimated_memory: int | None = None) -> str:
    """Reports the error that stopped the training; returns what it reports.

    Args:
        error: the error that stopped the training.
        configuration: the run's configuration.
        estimated_memory: the run's estimated peak memory in bytes; None if it could not be estimated.
    """
    error = origin(error)
    own = culprits.told(error, configuration)
    if _is_out_of_memory(error):
        batch = f"{configuration.data.kind}.batch_size {configuration.data.loading.batch_size}"
        takes = "" if estimated_memory is None else f", where the run was estimated to take {size(estimated_memory)}"
        way_out = "lower it, or raise training.accumulation"
        reason = f"out of memory at {batch}{takes}; {way_out}: {in_one_line(error)}"
    elif isinstance(error, TrainingFailure | DataError):
        reason = text_of(error)
    elif own is not None:
        reason = own
    elif isinstance(error, OSError):
        reason = f"can't write: {text_of(error)}"
    else:
        reason = in_one_line(error)
        logger.error("nothing of yours is in what led to this: it may be a fault of Firebox's", exc_info=error)
    if error.__cause__ is not None or not isinstance(error, TrainingFailure | DataError):
        logger.debug("the training failed", exc_info=error)
    logger.error("%s", reason)
    return reason or type(error).__name__


def first_line(reason: str) -> str:
    """Returns the first line of a reason as printable text, for a status."""
    return printable(reason.splitlines()[0])


def stopped_while_starting(reason: str) -> None:
    """Says that a stop came before there was anything to save."""
    logger.warning("stopped while starting%s", f": {reason}" if reason else "")


def failed_while_starting(error: TrainingFailure) -> None:
    """Says what failed before there was a run, unless another process does: such as one that was to train it."""
    logger.debug("the start failed", exc_info=error)
    if text_of(error):
        logger.error("failed before training: %s", text_of(error))


def stopped_before() -> None:
    """Says that the launcher starts a run again that was asked to stop."""
    logger.warning("the run was asked to stop, and is not started again: --resume continues it")


def left(reason: str) -> None:
    """Says why the process is left in the midst of something."""
    logger.error("%s; left without waiting any longer", reason)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. torch has an error class for accelerators only; on the CPU it is a RuntimeError."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text_of(error)


def completed_already(directory: RunDirectory, configuration: Configuration, *, early: bool) -> None:
    """Says that there is nothing to resume, and how to train longer.

    Args:
        directory: the run's directory.
        configuration: the run's configuration.
        early: whether a handler ended the run before its last epoch.
    """
    status = directory.status()
    logger.info("%s is completed: %s, iteration %d", directory.path, status.reason, status.iteration)
    key, value, allowed = "training.epochs", 2 * configuration.training.epochs, "training.epochs"
    if early:
        patient = [named for named in configuration.handlers if isinstance(named.parameters.get("patience"), int)]
        if patient:
            key, value = f"handlers.{patient[0].written}.patience", 2 * patient[0].parameters["patience"] + 1
        allowed = "handlers" if patient else allowed
    logger.info(
        "to train it longer: --resume %s %s --allow-change %s",
        shlex.quote(str(directory.path)),
        setting(key, str(value)),
        allowed,
    )
    last_line(directory)


def decided_anew(directory: RunDirectory) -> None:
    """Says that a run that was ended early is resumed because its handlers have changed."""
    status = directory.status()
    logger.info(
        "%s was ended at iteration %d: %s; resuming it with the handlers given now, which decide whether it goes on",
        directory.path,
        status.iteration,
        status.reason,
    )


def damaged(directory: RunDirectory, found: str) -> None:
    """Says that a completed run is damaged, and what is done about it."""
    logger.warning("%s is completed, but %s; going on from the newest checkpoint that is whole", directory.path, found)


def checked(report: Report) -> None:
    """Shows the results of the checks."""
    listed(report.data)
    for table in report.tables():
        results.print(table)


def ended(run: Run, state: State, reason: str) -> None:
    """Shows the results."""
    if state == "completed":
        table = _metrics(run)
        results.print(table)
        logger.debug("results\n%s", as_text(table))
        logger.info("completed: %s", reason)
    elif state == "interrupted":
        logger.warning("interrupted: %s at iteration %d; --resume continues", reason, run.iteration)


def _metrics(run: Run) -> Table:
    """Returns the metrics as a table, one row per metric and one column per split."""
    header, *rows = results_table(run.metrics)
    table = Table(title=f"after {run.iteration} iterations")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def last_line(directory: RunDirectory) -> None:
    """Writes the run directory, the last line on standard output."""
    sys.stdout.write(f"{directory.path}\n")
    sys.stdout.flush()
