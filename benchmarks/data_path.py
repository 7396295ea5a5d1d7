"""Images per second of the batch stream, prepared for the model, and the cost of a batch as the data grows.

Random bytes in the shape of Fashion-MNIST. Memory gathers batches from one tensor; stream has DataLoader workers
gather them; "a sample at a time" is the same data as a map-style data set. The cost of a batch from memory is measured
for data of 1 to 64 times the size, and that of beginning at an iteration for the 10th and the ten millionth.

JPEG photographs (``photographs.py``) are read beside other systems (``photograph_peers.py``), each in a process of its
own: the first epoch, with all that comes before its first batch, and later ones. Last comes the memory that reading
takes where the set is four times what may be held.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from firebox.benchmarks.measuring import ROOT, Cells, begin, installed, interleaved, median_ratio, options, report
from firebox.benchmarks.photograph_peers import BATCH_SIZE, SYSTEMS, Job, peers
from firebox.benchmarks.photographs import COUNT, SOURCES, default_root, make
from firebox.benchmarks.random_images import random_images
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Preparation
from firebox.data.sources.source import DatasetImages, ImageSource
from firebox.data.streaming.placement import Placement
from firebox.data.streaming.stream import BatchStream

SHAPE = (1, 28, 28)
BATCH_SIZES = (32, 128, 1024)
GROWTH = (1, 4, 16, 64)
WARM_UP = 32
"""Batches until all workers have started."""
POSITIONS = (10, 10_000_000)
SIZES = (64, 224)
"""Heights and widths that photographs are read in."""
WORKERS = (0, 2)


class Samples(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """The same images, one sample at a time."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._images[index], 0


def stream(
    source: ImageSource, batch_size: int = 128, placement: Placement = "memory", workers: int = 0
) -> BatchStream:
    return BatchStream(source, batch_size=batch_size, seed=7, shuffle=True, placement=placement, workers=workers)


def images_per_second(batches: BatchStream, batch_size: int, count: int) -> float:
    """Returns the images per second of an epoch's prepared batches, after the first ones."""
    prepare = Preparation(ImageSpecification(SHAPE), torch.device("cpu"), channels_last=True)
    for batch in itertools.islice(batches, WARM_UP):
        prepare(batch)
    wanted = max(1, count // batch_size)
    began = time.perf_counter()
    for batch in itertools.islice(batches, wanted):
        prepare(batch)
    return wanted * batch_size / (time.perf_counter() - began)


def microseconds(source: ImageSource) -> float:
    """Returns the cost of a batch of 128 from memory, gathered and converted."""
    return 128 / images_per_second(stream(source), 128, 25_600) * 1e6


def beginning(source: ImageSource, position: int) -> float:
    """Returns the milliseconds from asking a new stream for an iteration to its batch."""
    batches = stream(source)
    began = time.perf_counter()
    batches.seek(position)
    next(batches)
    return (time.perf_counter() - began) * 1e3


def photographs(chosen: argparse.Namespace) -> None:
    """Reads photographs with every system that is installed, and reports images per second."""
    place = make(chosen.photographs, chosen.count)
    others = peers()
    names = [name for name in SYSTEMS if name in others or name.startswith("Firebox")]
    later: dict[str, list[float]] = {}
    systems: dict[str, Callable[[], float]] = {}
    for size, workers, name in itertools.product(SIZES, WORKERS, names):

        def first(size: int = size, workers: int = workers, name: str = name) -> float:
            measured = apart(name, Job(place, size, workers), chosen)
            rates: list[float] = [
                images / seconds for images, seconds in zip(measured["images"], measured["seconds"], strict=True)
            ]
            later.setdefault(f"{name}/{size}/{workers}", []).append(statistics.median(rates[1:]))
            return rates[0]

        systems[f"{name}/{size}/{workers}"] = first
    firsts = interleaved(systems, chosen.rounds)
    laters = {key: rates[1:] for key, rates in later.items()}  # without the round that does not count
    rows: list[Cells] = []
    for size, workers, name in itertools.product(SIZES, WORKERS, names):
        row: dict[str, str | float | None] = {"images/s": f"{size} x {size}, {workers} workers: {name}"}
        for epoch, rates in {"first epoch": firsts, "later epochs": laters}.items():
            own = rates[f"{name}/{size}/{workers}"]
            best = [max(values) for values in zip(*(rates[f"{peer}/{size}/{workers}"] for peer in others), strict=True)]
            row[epoch] = statistics.median(own)
            row[f"{epoch}, x best peer"] = median_ratio(own, best) if name not in others and best else None
        rows.append(row)
    title = f"{chosen.count:,} photographs, batches of {BATCH_SIZE}, median of {chosen.rounds} rounds"
    report(title, rows, chosen, first_epoch=firsts, later_epochs=laters)


def memory(chosen: argparse.Namespace) -> None:
    """Reports by how much memory grows while photographs are read that may be held, or are four times what may be."""
    place = make(chosen.photographs, chosen.count)
    size = max(SIZES)
    total = chosen.count * 3 * size**2
    rows: list[Cells] = []
    for part, workers in itertools.product((1, 4), WORKERS):
        measured = apart("Firebox", Job(place, size, workers, total // part), chosen)
        row: Cells = {"set": f"{part} x the budget, {workers} workers", "budget, MiB": total / part / 2**20}
        rows.append({**row, "growth, MiB": measured["growth"], "a worker's peak, MiB": measured["workers"]})
    report(f"Resident memory, {chosen.count:,} photographs of {size} x {size}", rows, chosen)


def apart(name: str, job: Job, chosen: argparse.Namespace) -> dict[str, Any]:
    """Measures a system in a process of its own."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "photograph_peers.py"), name, str(job.place)]
    settings = {"size": job.size, "workers": job.workers, "epochs": chosen.epochs, "threads": chosen.threads}
    command += [f"--{key}={value}" for key, value in settings.items()]
    command += [] if job.budget is None else [f"--budget={job.budget}"]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", choices=PARTS, help="default: all for which the packages are installed")
    parser.add_argument("--images", type=int, default=60_000, help="random ones in memory; default 60000")
    parser.add_argument(
        "--photographs", type=Path, default=default_root(), help="folder of theirs; default %(default)s"
    )
    parser.add_argument("--count", type=int, default=COUNT, help="of photographs; default %(default)s")
    parser.add_argument("--epochs", type=int, default=3, help="over photographs; default %(default)s")
    chosen = begin(parser)
    every = PARTS if installed(*SOURCES) else ("random",)
    for part in every if chosen.only is None else [chosen.only]:
        PARTS[part](chosen)


def random(chosen: argparse.Namespace) -> None:
    """Reads random images in memory, and reports images per second and what a batch costs."""
    source = random_images(chosen.images, *SHAPE[1:])
    samples = DatasetImages(Samples(source.images))
    ways: dict[str, tuple[ImageSource, Placement, int]] = {
        "memory": (source, "memory", 0),
        "stream, no workers": (source, "stream", 0),
        "stream, 2 workers": (source, "stream", 2),
        "stream, a sample at a time, no workers": (samples, "stream", 0),
        "stream, a sample at a time, 2 workers": (samples, "stream", 2),
    }
    systems: dict[str, Callable[[], float]] = {}
    for (name, (data, placement, workers)), size in itertools.product(ways.items(), BATCH_SIZES):
        slow = isinstance(data, DatasetImages)

        def rate(data: Any = data, size: int = size, placement: Placement = placement, workers: int = workers) -> float:
            count = chosen.images // 10 if isinstance(data, DatasetImages) else chosen.images
            return images_per_second(stream(data, size, placement, workers), size, count)

        if not slow or size == 128:
            systems[f"{name}/{size}"] = rate
    rates = interleaved(systems, chosen.rounds)
    rows: list[Cells] = [
        {"images/s": name}
        | {
            f"batch {size}": statistics.median(rates[key]) if (key := f"{name}/{size}") in rates else None
            for size in BATCH_SIZES
        }
        for name in ways
    ]
    report(f"Images a second, prepared, median of {chosen.rounds} rounds", rows, chosen, images_per_second=rates)

    grown = {factor: random_images(factor * chosen.images // 4, *SHAPE[1:]) for factor in GROWTH}
    costs = interleaved(
        {str(factor): (lambda data=data: microseconds(data)) for factor, data in grown.items()},  # type: ignore[misc]
        chosen.rounds,
    )
    seeks = interleaved(
        {str(position): (lambda position=position: beginning(source, position)) for position in POSITIONS},  # type: ignore[misc]
        chosen.rounds,
    )
    growth: list[Cells] = [
        {"data": f"{factor} x", "µs a batch of 128": statistics.median(costs[str(factor)])} for factor in GROWTH
    ]
    starts: list[Cells] = [
        {"data": f"beginning at iteration {position:,}", "ms": statistics.median(seeks[str(position)])}
        for position in POSITIONS
    ]
    title = f"Cost as the data grows from {chosen.images // 4:,} images, and of beginning anywhere"
    report(title, [*growth, *starts], chosen, images_per_second=rates, microseconds=costs, beginning=seeks)


PARTS = {"random": random, "photographs": photographs, "memory": memory}


if __name__ == "__main__":
    main()
