"""Samples of tar files, read by index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from firebox.data.containers.member_values import value_in
from firebox.data.containers.shard_headers import Roles, Shard
from firebox.data.containers.shard_index import ShardIndex
from firebox.data.containers.tar_headers import BLOCK, is_header, name_in
from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.encoded_samples import SampleDecoder
from firebox.foundation.problems import printable
from firebox.foundation.randomness import PERMUTATION_LIMIT


class ShardSamples(Dataset[Any]):
    """A map-style data set that reads a sample of a tar file each time it is asked for one.

    Args:
        root: folder that the shards are in.
        index: where each sample lies.
        decoder: what becomes of a sample.
        roles: which members are read.
    """

    def __init__(self, root: Path, index: ShardIndex, decoder: SampleDecoder, roles: Roles) -> None:
        self._root = root
        self._index = index
        self._decoder = decoder
        self._roles = roles
        self.targets = index.labels() if roles.classes and len(index) <= PERMUTATION_LIMIT else None
        """The class of each sample, int64 (N,); None if targets are no classes, or there are too many to be held."""

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Any:
        """Reads an image, uint8 (C, H, W), and its target; the image alone if there are no targets.

        Raises:
            DataError: it can't be read; the message names the shard and the member.
        """
        (place,) = self._index.take(torch.tensor([index]))
        shard = self._index.shards[place["shard"]]
        with _Opened(self._root, shard) as opened:
            image = opened.member(int(place["image"]), int(place["image_size"]))
            if self._decoder.target is None:
                return self._decoder.alone(image)
            if self._roles.classes:
                return self._decoder.alone(image), int(place["label"])
            target = opened.member(int(place["target"]), int(place["target_size"]))
        return self._decoder(image, self._value(target), str(target))

    def _value(self, member: Encoded) -> Any:
        """Returns what a member holds: itself if targets are images, otherwise its text or JSON."""
        if self._decoder.pair is not None:
            return member
        return value_in(member.getvalue(), str(member), self._roles.key, is_json=self._roles.is_json)

    def file_of(self, index: int) -> str:
        """Returns the shard and the name of a sample's image."""
        (place,) = self._index.take(torch.tensor([index]))
        with _Opened(self._root, self._index.shards[place["shard"]]) as opened:
            return str(opened.member(int(place["image"]), int(place["image_size"])))


class _Opened:
    """A shard that is open while members of it are read.

    Raises:
        DataError: it can't be opened, or is not what was indexed.
    """

    def __init__(self, root: Path, shard: Shard) -> None:
        self._path = root / shard.name
        self._shard = shard

    def __enter__(self) -> _Opened:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self._path} can't be read: {error.strerror}") from None
        state = os.fstat(self._descriptor)
        if (state.st_size, state.st_mtime_ns) != (self._shard.size, self._shard.changed):
            self.__exit__()
            raise self._changed()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def member(self, offset: int, size: int) -> Encoded:
        """Reads a member.

        Raises:
            DataError: it is not where it was when the shard was indexed, or can't be read.
        """
        parts, begin, left = [], offset - BLOCK, size + BLOCK
        try:
            while left and (part := os.pread(self._descriptor, left, begin)):
                parts.append(part)
                begin, left = begin + len(part), left - len(part)
        except OSError as error:
            raise DataError(f"{self._path} can't be read: {error.strerror}") from None
        content = b"".join(parts)
        head = content[:BLOCK]
        if left or not is_header(head):
            raise self._changed()
        return Encoded(content[BLOCK:], f"{self._path}/{printable(name_in(head))}")

    def _changed(self) -> DataError:
        return DataError(f"{self._path} has changed since the run began; start it again")
