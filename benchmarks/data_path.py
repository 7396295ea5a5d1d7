"""Images per second of the batch stream, prepared for the model, and the cost of a batch as the data grows.

Random bytes in the shape of Fashion-MNIST. Memory gathers batches from one tensor; stream has DataLoader workers
gather them; "a sample at a time" is the same data as a map-style data set. The cost of a batch from memory is measured
for data of 1 to 64 times the size, and that of beginning at an iteration for the 10th and the ten millionth.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from firebox.benchmarks.measuring import Cells, begin, interleaved, options, report
from firebox.benchmarks.random_images import random_images
from firebox.data.batch import Preparation
from firebox.data.placement import Placement
from firebox.data.source import DatasetImages, ImageSource
from firebox.data.specification import ImageSpecification
from firebox.data.stream import BatchStream

SHAPE = (1, 28, 28)
BATCH_SIZES = (32, 128, 1024)
GROWTH = (1, 4, 16, 64)
WARM_UP = 32
"""Batches until all workers have started."""
POSITIONS = (10, 10_000_000)


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


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--images", type=int, default=60_000, help="in memory; default 60000")
    chosen = begin(parser)
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


if __name__ == "__main__":
    main()
