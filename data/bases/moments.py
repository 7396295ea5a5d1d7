"""Mean and deviation of the training images, which ``pixel_range: standardised`` stands for."""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import ImageSource
from firebox.data.workers.one_pass import one_pass
from firebox.foundation.files import write_whole
from firebox.foundation.problems import Interrupted, TrainingFailure

TOGETHER = 32
"""Number of samples that are read between two reports."""
FEW = 64
"""Number of batches below which starting a process takes longer than reading them in this one."""
SUFFIX = ".moments.json"


class Moments(NamedTuple):
    """Mean and standard deviation of each channel over all pixels of a split, in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def moments_of(source: ImageSource, specification: ImageSpecification, reading: Reading) -> Moments:
    """Computes the moments of a split in one pass.

    Each sample is summed by itself in float64, and these sums are added exactly, so that the result depends neither on
    who reads the samples nor on their order.

    Args:
        source: samples of the split.
        specification: says which of their values become 0 and 1.
        reading: how they may be read.

    Raises:
        DataError: a sample can't be read, or a channel has the same value everywhere.
        Interrupted: a stop was requested.
    """
    batches = torch.arange(len(source)).split(TOGETHER)
    workers = reading.workers if len(batches) >= FEW else 0
    lowest, highest = specification.values_of(source.gather(torch.tensor([0]))[0].dtype)
    sums: list[list[list[float]]] = []
    done = 0
    try:
        with closing(one_pass(_Sums(source), batches, workers, reading)) as results:
            for found, _ in results:
                sums += found.tolist()
                done += len(found)
                reading.progress("samples measured", done, len(source))
                if reading.stopping():
                    raise Interrupted
    except TrainingFailure as failure:
        raise DataError(str(failure)) from None
    _, height, width = specification.shape
    count, scale = len(source) * height * width, highest - lowest
    mean, std = [], []
    for own in zip(*sums, strict=True):
        average, square = (math.fsum(sample) / count for sample in zip(*own, strict=True))
        mean.append((average - lowest) / scale)
        std.append(math.sqrt(max(square - average * average, 0)) / scale)
    flat = [str(channel) for channel, deviation in enumerate(std) if deviation < 1e-6]
    if flat:
        raise DataError(
            f"pixel_range: got standardised, but channel {', '.join(flat)} has the same value in all training images, "
            "and so no deviation to divide by; expected [0,1] or [-1,1]"
        )
    return Moments(tuple(mean), tuple(std))


class _Sums:
    """A source of each sample's sums instead of its pixels."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def gather(self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0) -> tuple[torch.Tensor, None]:
        """Returns the sums of the values of each channel, and of their squares, float64 (n, C, 2)."""
        images, _ = self._source.gather(indices, seed=seed, epoch=epoch)
        sums = torch.empty(*images.shape[:2], 2, dtype=torch.float64)
        for k, image in enumerate(images):
            # By NumPy, whose sums are the same with any number of threads.
            values = image.cpu().contiguous().numpy().reshape(len(image), -1).astype(numpy.float64)
            sums[k, :, 0] = torch.from_numpy(values.sum(1))
            sums[k, :, 1] = torch.from_numpy(numpy.square(values).sum(1))
        return sums, None


def kept_moments(
    source: ImageSource, specification: ImageSpecification, reading: Reading, *, samples: Path, key: str
) -> Moments:
    """Returns moments that were kept beside a file of samples; else computes them and keeps them there.

    Args:
        source: samples of the split.
        specification: says which of their values become 0 and 1.
        reading: how they may be read.
        samples: the file of samples.
        key: identity of the samples and of the split.
    """
    known = hashlib.sha256(json.dumps([key, specification.value_range]).encode()).hexdigest()
    path = samples.with_name(known[:32] + SUFFIX)
    with suppress(OSError, ValueError, LookupError, TypeError):
        content = json.loads(path.read_bytes())
        found = Moments(tuple(map(float, content["mean"])), tuple(map(float, content["std"])))
        if content["seal"] == _seal(known, found) and len(found.mean) == specification.shape[0]:
            return found
    found = moments_of(source, specification, reading)
    with suppress(OSError):  # they are computed again the next time
        write_whole(path, json.dumps({**found._asdict(), "seal": _seal(known, found)}) + "\n")
    return found


def _seal(key: str, moments: Moments) -> str:
    return hashlib.sha256(json.dumps([key, *moments]).encode()).hexdigest()
