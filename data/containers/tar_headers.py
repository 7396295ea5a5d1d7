"""The headers of tar files, which say what lies where; nothing else is read.

The format is that of POSIX.1-1988 (ustar), with the extensions of POSIX.1-2001 (pax) and of GNU tar for long names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 512
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""What files begin with that are compressed."""
REGULAR = (b"0", b"\0", b"7")
LONG_NAME, ATTRIBUTES, SPARSE = b"L", b"x", b"S"
_NO_BLOCK = bytes(BLOCK)


class Member(NamedTuple):
    """A regular file in a tar file.

    Attributes:
        name: its path.
        offset: where its content begins, in bytes.
        size: bytes of its content.
    """

    name: str
    offset: int
    size: int


def members(descriptor: int) -> Iterator[Member]:
    """Yields the regular files of an open tar file, in order.

    Raises:
        ValueError: it is no tar file, is compressed, or is torn.
    """
    whole, at = os.fstat(descriptor).st_size, 0
    name = ""
    attributes: dict[str, str] = {}
    while (block := os.pread(descriptor, BLOCK, at)) != _NO_BLOCK:
        if at == 0 and (by := next((COMPRESSED[start] for start in COMPRESSED if block.startswith(start)), None)):
            raise ValueError(f"is compressed by {by}, so that no sample of it can be read by itself; unpack it")
        if len(block) < BLOCK:
            raise ValueError("is torn: it has no end" if at else "is no tar file: it is too short")
        if not is_header(block):
            raise ValueError(f"is torn: byte {at:,} begins no member" if at else "is no tar file")
        kind, size = block[156:157], int(attributes.get("size", size_of(block)))
        begin, at = at + BLOCK, at + BLOCK + -(-size // BLOCK) * BLOCK
        if at > whole:
            raise ValueError(f"is torn: it has {whole:,} bytes, expected {at:,} at least")
        if kind == LONG_NAME:
            name = os.pread(descriptor, size, begin).rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif kind == ATTRIBUTES:
            attributes = _attributes(os.pread(descriptor, size, begin))
        else:
            if kind == SPARSE or any(key.startswith("GNU.sparse") for key in attributes):
                raise ValueError("has a sparse member, expected whole ones; write it anew without --sparse")
            if kind in REGULAR:
                yield Member(attributes.get("path") or name or name_in(block), begin, size)
            name, attributes = "", {}


def is_header(block: bytes) -> bool:
    """Whether a block is a member's header, according to its checksum."""
    try:
        return int(block[148:156].strip(b" \0") or b"0", 8) == sum(block) - sum(block[148:156]) + 8 * 32
    except ValueError:
        return False


def size_of(block: bytes) -> int:
    """Returns the size of a member's content according to its header, in bytes."""
    field = block[124:136]
    return int.from_bytes(field[1:]) if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)


def name_in(block: bytes) -> str:
    """Returns the name of a member in its header, where a long name is cut off."""
    name, prefix = (part.partition(b"\0")[0] for part in (block[:100], block[345:500]))
    whole = prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name
    return whole.decode("utf-8", "surrogateescape")


def _attributes(content: bytes) -> dict[str, str]:
    """Returns the attributes of the member that follows: lines of their own length, a key and a value."""
    found = {}
    while content:
        length, _, rest = content.partition(b" ")
        if not length.isdigit() or not int(length):
            break
        key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = content[int(length) :]
    return found
