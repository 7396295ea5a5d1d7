"""A loader of torch whose iterator is silent where it can't be made."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter


class Loader(DataLoader[Any]):
    """A loader with worker processes."""

    def _get_iterator(self) -> _Iterator:
        return _Iterator(self)


class _Iterator(_MultiProcessingDataLoaderIter):
    _shutdown = True
    """Whether its workers have ended; of one that could not be made, torch asks for it in vain, which is printed."""
