"""Where the samples of tar files lie, found out once from the headers and kept as an array."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import struct
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy
import torch

from firebox.data.cache.cache import Cache, NoRoom
from firebox.data.containers.shard_headers import PLACE, Roles, Shard, scanned
from firebox.data.declarations.data_error import DataError
from firebox.data.sources.reading import Reading
from firebox.foundation.problems import in_one_line

logger = logging.getLogger("firebox")

MAGIC = b"firebox shards\n"
FORMAT = 2
"""Version of the file's format."""
PAGE = 4096


class ShardIndex:
    """Where each sample lies.

    Args:
        shards: the shards, in order.
        held: where each sample lies, ``PLACE`` (N,); None to read it from ``path``, which takes no memory.
        path: file of the index; None if it is in memory.
    """

    def __init__(self, shards: Sequence[Shard], held: numpy.ndarray[Any, Any] | None, path: Path | None = None) -> None:
        self.shards = tuple(shards)
        self.path = path
        self._length = sum(shard.samples for shard in shards)
        self._held = held
        if path is not None:
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            with suppress(OSError):  # tells others that it is in use
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._begin = os.fstat(self._descriptor).st_size - self._length * PLACE.itemsize

    def __len__(self) -> int:
        return self._length

    def take(self, positions: torch.Tensor) -> numpy.ndarray[Any, Any]:
        """Returns where samples lie, ``PLACE`` (n,).

        Args:
            positions: int64 of shape (n,), values in [0, len(self)).

        Raises:
            DataError: the file of the index was cut off.
        """
        if self._held is not None:
            return numpy.asarray(self._held[positions.numpy()])
        size = PLACE.itemsize
        places = [os.pread(self._descriptor, size, self._begin + size * k) for k in positions.tolist()]
        if any(len(place) < size for place in places):
            raise DataError(f"{self.path} was cut off while it was used; start again")
        return numpy.frombuffer(b"".join(places), PLACE)

    def labels(self) -> torch.Tensor:
        """Returns the number of each sample's class, int64 (N,); -1 if targets are no classes."""
        places = self._held
        if places is None and self.path is not None:
            places = numpy.memmap(self.path, PLACE, "r", self._begin, (self._length,))
        assert places is not None
        return torch.from_numpy(places["label"].astype(numpy.int64))

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "held": self._held, "path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def index_of(root: Path, shards: Sequence[Shard], roles: Roles, reading: Reading) -> ShardIndex:
    """Finds the index of shards in the cache, or makes it from the headers and keeps it there.

    Without a cache, it is held in memory.

    Args:
        root: folder that the shards are in.
        shards: the shards, in order.
        roles: which members are read.
        reading: where it may be kept.

    Raises:
        DataError: a shard can't be read, or has a sample that is not whole.
        Interrupted: a stop was requested.
    """
    if reading.cache is not None:
        key = _key(shards, roles)
        cache = Cache(reading.cache, reading.cache_bytes)
        try:
            found = _kept(cache.entry(key), key) or _made(root, shards, roles, reading, cache, key)
            if found is not None:
                return found
        except (NoRoom, OSError) as error:
            logger.info("%s: the index of the shards is not kept: %s", root, in_one_line(error))
    indexed, parts = [], []
    for shard, places in scanned(root, shards, roles, reading):
        indexed.append(shard)
        parts.append(places)
    return ShardIndex(indexed, numpy.concatenate(parts))


def _made(
    root: Path, shards: Sequence[Shard], roles: Roles, reading: Reading, cache: Cache, key: str
) -> ShardIndex | None:
    """Makes an index in the cache; None if another process is about to."""
    cache.folder.mkdir(parents=True, exist_ok=True)
    found = []
    # Without a name, so that nothing of it is left if the process is killed.
    with tempfile.TemporaryFile(dir=cache.folder) as unnamed:
        for shard, places in scanned(root, shards, roles, reading):
            found.append(shard)
            unnamed.write(places.tobytes())
        size = unnamed.tell()
        head = head_of(found, key)
        unnamed.seek(0)
        with cache.writing(key, len(head) + size) as file:
            if file is None:
                return None
            file.write(head, 0)
            for offset, part in _parts(unnamed):
                file.write(part, len(head) + offset)
            file.keep()
    return _kept(cache.entry(key), key)


def _parts(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while part := file.read(1 << 20):
        yield offset, part
        offset += len(part)


def _key(shards: Sequence[Shard], roles: Roles) -> str:
    known = hashlib.sha256(json.dumps([FORMAT, asdict(roles)]).encode())
    for shard in shards:
        known.update(os.fsencode(f"{shard.name}\0{shard.size}\0{shard.changed}\n"))
    return known.hexdigest()


def head_of(shards: Sequence[Shard], key: str) -> bytes:
    """Returns the beginning of an index's file, which the records follow."""
    text = json.dumps({"key": key, "shards": [asdict(shard) for shard in shards]}).encode()
    head = MAGIC + struct.pack("<I", len(text)) + hashlib.sha256(text).digest() + text
    return head.ljust(-(-len(head) // PAGE) * PAGE, b"\0")


def _kept(path: Path, key: str) -> ShardIndex | None:
    """Opens an index that was kept; None if there is none, or none that can be used."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC) + 4 + 32)
            (length,) = struct.unpack_from("<I", begin, len(MAGIC))
            text = file.read(length)
            size = os.fstat(file.fileno()).st_size
        content = json.loads(text)
        shards = [Shard(**shard) for shard in content["shards"]]
        expected = len(head_of(shards, key)) + sum(shard.samples for shard in shards) * PLACE.itemsize
        sealed = begin.startswith(MAGIC) and begin[-32:] == hashlib.sha256(text).digest()
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, struct.error):
        sealed, content, size, expected = False, {"key": key}, 0, 0
    if not sealed or content["key"] != key or size != expected:
        logger.warning("%s can't be used, it is damaged; the shards are indexed anew", path)
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # another user's, or a folder that is only read
        os.utime(path)
    return ShardIndex(shards, None, path)
