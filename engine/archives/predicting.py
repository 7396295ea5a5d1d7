"""Predicts files by an archived model, without the data that it was trained on, into a folder."""

from __future__ import annotations

import csv
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.decoding import UnreadableFile
from firebox.data.folders.image_list import ImageList
from firebox.data.folders.readable_images import ReadableImages
from firebox.data.sources.batch import Batch
from firebox.data.sources.reading import OnBadFile
from firebox.data.streaming.stream import BatchStream
from firebox.engine.archives.archive import Archive
from firebox.engine.archives.decoding import decoder_for
from firebox.engine.archives.embeddings import EmbeddingFile
from firebox.engine.archives.predictions import Part, Predictions, predictions_of
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.reading.reading_progress import shown_progress
from firebox.foundation.problems import Interrupted, Problem, Refusal, printable
from firebox.foundation.randomness import mix, seed_everything

logger = logging.getLogger("firebox")

TABLE, ABOUT = "predictions.csv", "about.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be predicted, and how.

    Args:
        images: the files.
        on_bad_file: whether a file that can't be read ends everything, or is left out with its reason in the table.
        workers: number of processes that read ahead.
        reconstructions: whether each reconstruction is to be written.
    """

    images: ImageList
    on_bad_file: OnBadFile = "refuse"
    workers: int = 0
    reconstructions: bool = False


def predict(archive: Archive, wanted: Wanted, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Predicts every image, in order, into a folder; returns what was made, as ``about.json`` has it.

    Raises:
        Refusal: the model's output is not known, or no image can be read.
        DataError: a file can't be read, and none is to be skipped.
        Interrupted: a stop was requested.
        OSError: the folder can't be written to.
    """
    predictions = predictions_of(archive, folder, reconstructions=wanted.reconstructions)
    images = wanted.images
    places = _places(images)
    embed = getattr(archive.model, "embed", None)
    skipping = wanted.on_bad_file == "skip"
    predicted = 0
    with ExitStack() as stack:
        file = stack.enter_context((folder / TABLE).open("w", encoding="utf-8", errors="backslashreplace", newline=""))
        embeddings = stack.enter_context(EmbeddingFile(folder / "embeddings.npz")) if callable(embed) else None
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", *predictions.columns, *(["problem"] if skipping else [])])
        for first, batch, sizes, problems in _batches(archive, wanted, predictions, stop):
            names = images.names[first : first + len(sizes)]
            readable = [k for k in range(len(names)) if k not in problems]
            rows: Mapping[int, list[str]] = {}
            if readable:
                seed_everything(mix(archive.run.configuration.seed, "predict", first))
                with torch.inference_mode(), _enough_memory(archive):
                    output = _tensor(archive, "its model", archive.model(batch.images))
                    part = Part(
                        [places[first + k] for k in readable], batch.images, output, [sizes[k] for k in readable]
                    )
                    rows = dict(zip(readable, predictions.rows(part), strict=True))
                    if embeddings is not None:
                        found = _tensor(archive, "its model's embed()", embed(batch.images))  # type: ignore[misc]
                        embeddings.add([names[k] for k in readable], found)
            empty = [""] * len(predictions.columns)
            for k, name in enumerate(names):
                table.writerow([name, *rows.get(k, empty), *([problems.get(k, "")] if skipping else [])])
            predicted += len(readable)
    if not predicted:
        raise _refusal(f"{images.origin}: none of {len(images):,} files can be read")
    predictions.finish()
    if predicted < len(images):
        logger.warning(
            "%s of %s files can't be read and are skipped", f"{len(images) - predicted:,}", f"{len(images):,}"
        )
    about = {
        "archive": archive.card["name"],
        "version": archive.card["version"],
        "created_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": str(archive.run.device),
        "images": printable(str(images.origin)),
        "predicted": predicted,
        "skipped": len(images) - predicted,
        "output": archive.module.output_kind,
        "meaning": predictions.meaning,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def _tensor(archive: Archive, what: str, returned: Any) -> torch.Tensor:
    """Returns what a model has returned, if it is a tensor."""
    if isinstance(returned, torch.Tensor):
        return returned
    raise _refusal(f"{archive.path}: {what} returns {type(returned).__name__}, expected a tensor")


@contextmanager
def _enough_memory(archive: Archive) -> Iterator[None]:
    """Refuses where the device has not enough memory for a batch, as it is trained and evaluated with."""
    try:
        yield
    except torch.OutOfMemoryError:
        size = archive.run.configuration.data.loading.batch_size_of("test")
        message = f"{archive.run.device} has not enough memory for {size} images, as the model was evaluated with"
        raise _refusal(f"{message}; CUDA_VISIBLE_DEVICES= before the command computes on the CPU") from None


def _batches(
    archive: Archive, wanted: Wanted, predictions: Predictions, stop: StopRequest
) -> Iterator[tuple[int, Batch, list[tuple[int, int]], dict[int, str]]]:
    """Yields batches in order: the first image's position, the prepared images that can be read, the sizes of all, and
    what is wrong with the others, by their places in the batch."""
    run, images = archive.run, wanted.images
    source = ReadableImages(
        images, decoder_for(archive.path, archive.card, archive.specification), sizes=predictions.sizes
    )
    stream = BatchStream(
        source,
        batch_size=run.configuration.data.loading.batch_size_of("test"),
        seed=run.configuration.seed,
        shuffle=False,
        placement="stream",
        workers=min(wanted.workers, len(images)),
        device=run.device,
        stopping=lambda: stop.requested,
    )
    with closing(stream), shown_progress() as progress:
        for _ in range(len(stream)):
            batch = next(stream)
            assert batch.targets is not None
            first, sizes = int(batch.indices[0]), [(row[1], row[2]) for row in batch.targets.tolist()]
            problems: dict[int, str] = {}
            for k in (batch.targets[:, 0] == 0).nonzero().flatten().tolist():
                try:
                    batch.images[k], *size = source.read(first + k)
                    sizes[k] = (size[0], size[1])
                except UnreadableFile as error:
                    if wanted.on_bad_file == "refuse":
                        way_out = "or leave out what can't be read by --on-bad-file skip"
                        raise DataError(printable(f"{error}, {way_out}")) from None
                    problems[k] = printable(f"{source.name_of(first + k)} {error.why}")
            readable = [k for k in range(len(batch)) if k not in problems]
            taken = Batch(batch.images[readable], None, batch.indices[readable])
            if readable:
                for fault in run.data.specification.faults(taken.images):
                    raise _refusal(f"{archive.path}: {fault}")
            yield first, run.preparation(taken), sizes, problems
            progress("images predicted", first + len(batch), len(images))
            if stop.requested:
                raise Interrupted


def _places(images: ImageList) -> list[str]:
    """Returns the path of each image's own files below a folder of the output, without a suffix, each another one.

    It is the image's own name, with its suffix where others differ in that alone, below the folders in which it lies.
    """
    names = [_within(name) for name in images.names]
    stems = [str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).suffix else name for name in names]
    counts: dict[str, int] = {}
    for stem in stems:
        counts[stem] = counts.get(stem, 0) + 1
    taken: set[str] = set()
    places = []
    for name, stem in zip(names, stems, strict=True):
        place = chosen = stem if counts[stem] == 1 else name
        number = 2
        while chosen in taken:
            chosen, number = f"{place}-{number}", number + 1
        taken.add(chosen)
        places.append(chosen)
    return places


def _within(name: str) -> str:
    """Returns a name as a path that stays within a folder."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    return "/".join(parts).replace("\0", "") or "unnamed"


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
