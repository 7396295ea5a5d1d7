"""Samples of larger files that can't be decoded, found out in one pass before the training."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, suppress
from pathlib import Path

import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.decoding import UnreadableFile
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import ImageSource
from firebox.data.workers.one_pass import one_pass
from firebox.foundation.files import write_whole
from firebox.foundation.problems import Interrupted, TrainingFailure

TOGETHER = 32
"""Number of samples that are decoded between two reports."""
FEW = 16
"""Number of batches below which starting a process takes longer than decoding them in this one."""
SUFFIX = ".unreadable.json"

Unreadable = dict[int, str]
"""What is wrong with each sample that can't be decoded, by its index in its split."""


def unreadable_in(source: ImageSource, reading: Reading) -> Unreadable:
    """Decodes all samples of a source, and returns what is wrong with those that can't be.

    Raises:
        DataError: samples can't be read for another reason.
        Interrupted: a stop was requested.
    """
    batches = torch.arange(len(source)).split(TOGETHER)
    workers = reading.workers if len(batches) >= FEW else 0
    suspect: list[int] = []
    done = 0
    try:
        with closing(one_pass(_States(source), batches, workers, reading)) as results:
            for indices, (states, _) in zip(batches, results, strict=True):
                suspect += indices[states == 0].tolist()
                done += len(indices)
                reading.progress("samples tried", done, len(source))
                if reading.stopping():
                    raise Interrupted
    except TrainingFailure as failure:
        raise DataError(str(failure)) from None
    found: Unreadable = {}
    for index in suspect:
        try:
            source.gather(torch.tensor([index]))
        except UnreadableFile as error:
            found[index] = error.why
    return found


class _States:
    """A source of whether samples can be decoded instead of their pixels."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def gather(self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0) -> tuple[torch.Tensor, None]:
        """Returns 1 for each sample that can be decoded, otherwise 0, uint8 (n,)."""
        states = torch.ones(len(indices), dtype=torch.uint8)
        for k in range(len(indices)):
            try:
                self._source.gather(indices[k : k + 1], seed=seed, epoch=epoch)
            except UnreadableFile:
                states[k] = 0
        return states, None


def kept_unreadable(source: ImageSource, reading: Reading, *, folder: Path, key: str) -> Unreadable:
    """Returns what was found in an earlier pass over the same samples; else makes the pass, and keeps what it finds.

    Args:
        source: the samples.
        reading: how they may be read.
        folder: folder to keep it in.
        key: identity of the samples and of what decodes them.
    """
    path = folder / (hashlib.sha256(key.encode()).hexdigest()[:32] + SUFFIX)
    with suppress(OSError, ValueError, LookupError, TypeError):
        content = json.loads(path.read_bytes())
        found = {int(index): str(why) for index, why in content["unreadable"].items()}
        if content["seal"] == _seal(key, found):
            return found
    found = unreadable_in(source, reading)
    with suppress(OSError):  # they are tried again the next time
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"unreadable": found, "seal": _seal(key, found)}) + "\n")
    return found


def _seal(key: str, found: Unreadable) -> str:
    return hashlib.sha256(json.dumps([key, sorted(found.items())]).encode()).hexdigest()
