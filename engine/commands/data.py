"""Show what a configuration's data holds, and what its samples look like to the model."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.table import Column, Table

from firebox.engine.commands.config import read_configuration
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal

if TYPE_CHECKING:
    from firebox.data.bases.datamodule import DataModule, Split
    from firebox.data.sources.reading import Reading
    from firebox.data.sources.source import ImageSource
    from firebox.engine.configuration import Configuration
    from firebox.engine.training.limits.stopping import StopRequest

T = TypeVar("T")
MOST_CLASSES = 60
"""Number of classes up to which each has a row of its own."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="override a value")
    parser.add_argument("--trainer", metavar="NAME", help="trainer (default: the one that CONFIG names)")
    parser.add_argument("--verify", action="store_true", help="decode every file, and name all that can't be")
    parser.add_argument("--count", metavar="N", type=_positive, default=16, help="samples in the picture (default: 16)")
    parser.add_argument(
        "--picture", metavar="FILE", type=Path, help="where to (default: data.png in the data's folder of runs)"
    )


def _positive(given: str) -> int:
    """Returns a positive integer.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not given.isdecimal() or int(given) == 0:
        raise argparse.ArgumentTypeError(f"got {given}, expected a positive integer")
    return int(given)


def run(options: argparse.Namespace) -> int:
    console.start(quiet=False)
    try:
        configuration = read_configuration(options.config, options.trainer, options.set)
        return show(configuration, options.picture, count=options.count, verify=options.verify)
    except BaseException as error:
        console.refused(refusal_of(error))
        return REFUSED


def show(configuration: Configuration, picture: Path | None, *, count: int, verify: bool) -> int:
    """Prints the tables, draws the picture, and verifies all files if asked to; returns the exit code.

    Raises:
        Refusal: the data can't be read, or the picture can't be written.
    """
    from firebox.data.declarations.data_error import DataError
    from firebox.engine.training.limits.stopping import StopRequest
    from firebox.engine.training.reading.streams import construct_data

    key, stop = configuration.data.kind, StopRequest()
    data = construct_data(configuration)
    try:
        missing = data.missing()
        if missing is not None:
            raise DataError(missing)
        if data.skipped is None:
            _watched(configuration, stop, data.prepare)
        splits = [split for split, length in data.split_lengths.items() if length]
        sources = {split: data.read(split) for split in splits}
        specification = data.specification
        shape = " x ".join(map(str, specification.shape))
        target = "no target" if specification.target is None else specification.target.described
        console.results.print(f"{configuration.data.named.written}: {shape}, {specification.pixel_range}, {target}")
        console.tabulate(_counts(data, sources))
        if data.listing is not None:
            for text in (*data.listing.notes, *data.listing.warnings):
                console.results.print(text)
        if verify:
            _verify(configuration, data, stop)
        picture = picture or configuration.directory.parent / "data.png"
        _draw(configuration, data, sources["train"], picture, count)
    except DataError as error:
        raise Refusal([Problem(key, str(error), configuration.mark(key, "name"))]) from None
    except Interrupted:
        return stop.exit_code
    sys.stdout.write(f"{picture}\n")
    return COMPLETED


def _watched(configuration: Configuration, stop: StopRequest, action: Callable[[Reading], T]) -> T:
    """Does what reads many files; shows the progress, and listens to what asks for a stop."""
    from firebox.engine.training.reading.reading_progress import shown_progress
    from firebox.engine.training.reading.streams import reading

    with stop.listening(), shown_progress() as progress:
        return action(reading(configuration, stop, progress))


def _verify(configuration: Configuration, data: DataModule, stop: StopRequest) -> None:
    """Decodes every file.

    Raises:
        DataError: there are files that can't be decoded, or the data has none; it names them all.
        Interrupted: a stop was requested.
    """
    from firebox.data.bases.listed_images import ListedImages
    from firebox.data.bases.standardised_values import StandardisedValues
    from firebox.data.declarations.data_error import DataError
    from firebox.data.preparation.preparing import told, verify_files

    data = data.data if isinstance(data, StandardisedValues) else data
    if not isinstance(data, ListedImages):
        raise DataError(f"{configuration.data.named.written} decodes no files that could be verified")
    listing, decoder = data.listing, data.decoder
    unreadable = _watched(configuration, stop, lambda reading: verify_files(listing, decoder, reading))
    if unreadable:
        found = f"{len(unreadable):,} of {len(listing):,} files in {listing.root} can't be decoded"
        raise DataError(f"{found}: {told(listing, unreadable, len(unreadable))}")
    console.results.print(f"all {len(listing):,} files can be decoded")


def _counts(data: DataModule, sources: Mapping[Split, ImageSource]) -> Table:
    """Returns a table of the samples in each split, with a row for each class where the labels are at hand."""
    table = Table(Column("", overflow="fold"), box=None, pad_edge=False)
    for split in sources:
        table.add_column(split, justify="right", overflow="fold")
    labels = {split: getattr(source, "labels", None) for split, source in sources.items()}
    classes = data.specification.classes
    if 0 < len(classes) <= MOST_CLASSES and all(known is not None for known in labels.values()):
        counted = {split: Counter(known.tolist()) for split, known in labels.items() if known is not None}
        for number, name in enumerate(classes):
            table.add_row(name, *(f"{counts[number]:,}" for counts in counted.values()))
    table.add_row("all", *(f"{len(source):,}" for source in sources.values()))
    return table


def _draw(configuration: Configuration, data: DataModule, source: ImageSource, path: Path, count: int) -> None:
    """Writes a picture of training samples as the model sees them, with an augmented one beneath each.

    Raises:
        DataError: a sample can't be read.
        Refusal: the picture can't be written.
    """
    import torch

    from firebox.data.sources.batch import Preparation
    from firebox.data.streaming.stream import BatchStream
    from firebox.engine.training.factory import build_augmentation
    from firebox.foundation.files import write_whole
    from firebox.foundation.pictures import encode, grid
    from firebox.foundation.randomness import mix, seed_everything

    specification, device = data.specification, torch.device("cpu")
    samples = BatchStream(source, batch_size=count, seed=configuration.seed, shuffle=False, placement="stream")
    batch = samples.examples(count)
    augmentation = build_augmentation(configuration.data.loading)
    seed_everything(mix(configuration.seed, "data"))
    ways = [None] if augmentation is None else [None, augmentation]
    rows = [Preparation(specification, device, augmentation=way)(batch).images for way in ways]
    picture = encode(grid([specification.to_unit(row) for row in rows]))
    try:
        write_whole(path, picture)
    except OSError as error:
        raise Refusal([Problem("", f"--picture: can't write {path}: {error.strerror or error}")]) from None
