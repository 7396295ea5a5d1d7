"""Data sets that do what a user's may do, in a file that workers import quickly unless they are forked."""

import multiprocessing
import os
import re
import time

import torch

from firebox.data.sources.source import DatasetImages
from firebox.data.streaming.stream import BatchStream


class Numbered(torch.utils.data.Dataset):
    """Eight images whose pixels are their index; blocks at one sample."""

    def __init__(self, at=None, side=2):
        self.at = at
        self.side = side

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.at:
            self.block()
        return torch.full((1, self.side, self.side), index, dtype=torch.uint8)

    def block(self):
        time.sleep(1000)


class Backtracking(Numbered):
    """Blocks without letting another thread of the process run, after it has let it for a while."""

    def block(self):
        time.sleep(0.5)
        re.match(r"(a+)+$", "a" * 60 + "b")


class Failing(Numbered):
    """Fails in another way at each sample but the first."""

    def __getitem__(self, index):
        print(f"read {index}", flush=True)
        if index == 1:
            raise KeyError("no such key")
        if index == 2:
            raise SystemExit(5)
        if index == 3:
            raise StopIteration
        if index == 4:
            raise KeyboardInterrupt
        if index == 5:
            return torch.zeros(1, 3, 3), 0
        if index == 6:
            time.sleep(0.5)  # while the batch before is handed over
            os._exit(3)
        return super().__getitem__(index), 0

    def file_of(self, index):
        return f"/data/{index}.png"


class Own:
    """A source of the user's own, which fails and dies in reading."""

    def __len__(self):
        return 8

    def gather(self, indices, *, seed=0, epoch=0):
        if 2 in indices:
            raise OSError("no such file")
        if 4 in indices:
            time.sleep(0.5)
            os._exit(0)
        return torch.zeros(len(indices), 1, 2, 2, dtype=torch.uint8), None


class Immovable(Numbered):
    """Can be pickled, but not unpickled."""

    def __setstate__(self, state):
        raise ValueError("no room here")


class Holding(Numbered):
    """Holds something, deep inside."""

    def __init__(self, held):
        super().__init__()
        self.settings = {"transforms": [None, held]}


def stream(at=None, side=2, workers=None, kind=Numbered, **settings):
    """A stream of batches of two, in order, read by two workers, or by one that is spawned: that takes it seconds."""
    if workers is None:
        workers = 1 if multiprocessing.get_start_method() == "spawn" else 2
    return of(DatasetImages(kind(at, side)), workers=workers, **settings)


def of(source, workers=1, batch_size=2, **settings):
    """A stream of a source's batches, in order."""
    settings = {"seed": 7, "shuffle": False, "placement": "stream", **settings}
    return BatchStream(source, batch_size=batch_size, workers=workers, **settings)
