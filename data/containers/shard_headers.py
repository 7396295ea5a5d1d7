"""What the headers of tar files say: which samples they hold, and where."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from firebox.data.containers.member_values import value_in
from firebox.data.containers.tar_headers import Member, members
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.target_settings import target_from
from firebox.data.declarations.targets import Classes
from firebox.data.sources.reading import Reading
from firebox.foundation.problems import Interrupted, in_one_line, listed, printable

PLACE = numpy.dtype(
    [
        *[("shard", "<u4"), ("image", "<u8"), ("image_size", "<u4"), ("target", "<u8"), ("target_size", "<u4")],
        ("label", "<i4"),
    ]
)
"""Where a sample lies: the number of its shard, and the offset and size of its image and of its target in bytes; and
the number of its class, -1 if its target is no class."""
IMAGES = ("jpg", "jpeg", "png", "webp", "bmp")
LARGEST = 1 << 32
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
"""A member's name: the sample's, and what follows its first dot."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar file.

    Args:
        name: its path below the data's folder, with forward slashes.
        size: its size in bytes.
        changed: time of its last change, in nanoseconds since 1970.
        samples: number of samples in it; 0 until it was indexed.
        held: SHA-256 of the names and sizes of its members; empty until it was indexed.
    """

    name: str
    size: int
    changed: int
    samples: int = 0
    held: str = ""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which members of a sample are read.

    Args:
        image: what follows the first dot of the image's name; None for any kind of image that is not the target.
        target: what follows that of the target's; None for none.
        key: key of the target in a member that is JSON; empty if it is all of the member.
        classes: names of the classes if targets are classes, which are read with the headers; otherwise empty.
    """

    image: str | None
    target: str | None
    key: str = ""
    classes: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether targets are in JSON files."""
        return self.target is not None and self.target.rpartition(".")[2] == "json"


def shards_in(root: Path, pattern: str) -> list[Shard]:
    """Returns the files below a folder that match a pattern, in the order of their names; none of them was indexed."""
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    states = [path.stat() for path in paths]
    return [
        Shard(path.relative_to(root).as_posix(), state.st_size, state.st_mtime_ns)
        for path, state in zip(paths, states, strict=True)
    ]


def scanned(
    root: Path, shards: Sequence[Shard], roles: Roles, reading: Reading
) -> Iterator[tuple[Shard, numpy.ndarray[Any, Any]]]:
    """Yields each shard as its headers have it, and where its samples lie, ``PLACE`` (n,).

    Raises:
        DataError: a shard can't be read, or has a sample that is not whole.
        Interrupted: a stop was requested.
    """
    for number, shard in enumerate(shards):
        path = root / shard.name
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                yield _samples_of(descriptor, number, shard, roles, reading)
            finally:
                os.close(descriptor)
        except DataError:
            raise
        except (OSError, ValueError) as error:
            what = f"can't be read: {in_one_line(error)}" if isinstance(error, OSError) else str(error)
            raise DataError(f"{path} {what}") from None
        reading.progress("shards indexed", number + 1, len(shards))


def _samples_of(
    descriptor: int, number: int, shard: Shard, roles: Roles, reading: Reading
) -> tuple[Shard, numpy.ndarray[Any, Any]]:
    known, places, sample = hashlib.sha256(), [], ""
    own: dict[str, Member] = {}
    for member in members(descriptor):
        known.update(f"{member.name}\0{member.size}\n".encode("utf-8", "surrogateescape"))
        match = _NAME.fullmatch(member.name)
        if match is None:
            continue
        if match[1] != sample:
            if own:
                places.append(_place(number, shard.name, sample, own, roles, descriptor))
                if reading.stopping():
                    raise Interrupted
            sample, own = match[1], {}
        kind = match[2].lower()
        if kind in own:
            raise DataError(f"{shard.name}: the sample {printable(sample)} has {kind} twice, expected it once")
        own[kind] = member
    if not own:
        raise DataError(f"{shard.name}: holds no samples; move it away, or leave it out by files")
    places.append(_place(number, shard.name, sample, own, roles, descriptor))
    indexed = Shard(shard.name, shard.size, shard.changed, len(places), known.hexdigest())
    return indexed, numpy.array(places, PLACE)


def _place(
    number: int, shard: str, sample: str, own: dict[str, Member], roles: Roles, descriptor: int
) -> tuple[int, ...]:
    """Returns where a sample lies, of its members by what follows the first dot of their names."""
    kinds = [kind for kind in own if kind in IMAGES and kind != roles.target]
    image = roles.image if roles.image is not None else kinds[0] if len(kinds) == 1 else None
    absent = None
    if image is None:
        absent = "one image" if not kinds else "one image, or images to say which is the image"
    elif image not in own:
        absent = f"a member {image}"
    elif roles.target is not None and roles.target not in own:
        absent = f"a member {roles.target}"
    if absent is not None or image is None:
        has = f"the sample {printable(sample)} has {listed(list(map(printable, own)))}"
        raise DataError(f"{shard}: {has}, expected {absent}; the members of a sample follow one another")
    parts = [own[image], own[roles.target] if roles.target is not None else Member("", 0, 0)]
    if large := [part for part in parts if part.size >= LARGEST]:
        raise DataError(f"{shard}: {printable(large[0].name)} has {large[0].size:,} bytes, expected less than 4 GiB")
    label = _label(descriptor, shard, parts[1], roles) if roles.classes else -1
    return number, parts[0].offset, parts[0].size, parts[1].offset, parts[1].size, label


def _label(descriptor: int, shard: str, member: Member, roles: Roles) -> int:
    """Reads the number of a sample's class."""
    name, content = f"{shard}/{printable(member.name)}", os.pread(descriptor, member.size, member.offset)
    try:
        number: int = target_from(value_in(content, name, roles.key, is_json=roles.is_json), Classes(roles.classes))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    return number
