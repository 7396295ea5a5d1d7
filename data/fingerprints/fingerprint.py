"""The fingerprint of a data set: what it consists of, as far as that is known by names, sizes, labels and content."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import Reading
from firebox.foundation.problems import Interrupted

if TYPE_CHECKING:
    from firebox.data.streaming.stream import BatchStream

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each channel."""
LEFT_OUT = ""
"""The split of a file that is in none."""
TOGETHER = 512
"""Number of samples that are hashed at a time."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a data set, each a sample or many, wherever the folder that holds them lies.

    Args:
        names: path of each file below the data's folder, with forward slashes, in Unicode's normal form C.
        sizes: size of each file in bytes.
        labels: label of each file's sample; empty if there are no classes.
        splits: split that each file's sample is in; several are joined by ``+``.
        sha256: SHA-256 of each file's content; None if it was not read.
        targets: what each sample's target is, beside its label: the name and the size of its file, or its numbers;
            empty if there is none.
        held: what is known of the samples that each file holds; None if each file is a sample.
        samples: number of samples in each split; None if each file is a sample.
    """

    names: Sequence[str]
    sizes: Sequence[int]
    labels: Sequence[int]
    splits: Sequence[str]
    sha256: Sequence[str] | None = None
    targets: Sequence[str] = ()
    held: Sequence[str] | None = None
    samples: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def of(self, split: str) -> list[int]:
        """Returns the positions of a split's files."""
        return [i for i, held in enumerate(self.splits) if held == split or split in held.split("+")]


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a split.

    Args:
        samples: number of its samples.
        by_class: number of the samples of each class; empty if their labels are not at hand.
        names: SHA-256 of the names, sizes and labels of its files or, where the data has none, of its labels.
        content: SHA-256 of the content of its files, or of its pixels and labels; None if it is not known.
    """

    samples: int
    by_class: tuple[int, ...]
    names: str
    content: str | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a data set consists of.

    Args:
        kind: whether it is known by its files, or by its samples.
        classes: names of the classes.
        parts: what is known of each split that exists.
        transform: what becomes of a file on its way to a sample, as plain data.
        skipped: names of files that are left out because they can't be decoded; None if that is not known yet.
        files: the files; None if the data has no listing, or where a record of them is lost.
        moments: mean and deviation of the training images, where they were measured; None otherwise.
    """

    kind: Literal["files", "samples"]
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    transform: Mapping[str, Any]
    skipped: tuple[str, ...] | None
    files: Files | None = field(default=None, compare=False)
    moments: Moments | None = None

    @property
    def digests(self) -> dict[str, str | None]:
        """SHA-256 of what ``names``, ``content``, ``transform``, ``skipped`` and ``moments`` stand for, or None."""
        parts = self.parts.items()
        content = {split: part.content for split, part in parts}
        return {
            "names": _sha256([self.kind, self.classes, {split: [part.samples, part.names] for split, part in parts}]),
            "content": None if None in content.values() else _sha256(content),
            "transform": _sha256(self.transform),
            "skipped": None if self.skipped is None else _sha256(self.skipped),
            "moments": None if self.moments is None else _sha256(self.moments),
        }

    def plain(self) -> dict[str, Any]:
        """Returns the fingerprint without its files, as plain data for people and for ``from_plain``."""
        return {
            "kind": self.kind,
            "digests": self.digests,
            "classes": list(self.classes),
            "splits": {split: self._described(part) for split, part in self.parts.items()},
            "transform": dict(self.transform),
            "skipped": None if self.skipped is None else list(self.skipped),
            "moments": self.moments,
        }

    def _described(self, part: Part) -> dict[str, Any]:
        by_class = dict(zip(self.classes, part.by_class, strict=True)) if part.by_class else None
        return {"samples": part.samples, "classes": by_class, "names": part.names, "content": part.content}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any], files: Files | None = None) -> Fingerprint:
        """Returns the fingerprint that ``plain`` described.

        Args:
            content: what ``plain`` returned.
            files: the files, which are left out unless they are those of the fingerprint.

        Raises:
            ValueError: it is not what ``plain`` returned; LookupError, TypeError and AttributeError likewise.
        """
        classes = tuple(map(str, content["classes"]))
        parts = {
            str(split): Part(
                int(part["samples"]),
                tuple(map(int, (part["classes"] or {}).values())),
                str(part["names"]),
                None if part["content"] is None else str(part["content"]),
            )
            for split, part in content["splits"].items()
        }
        kind: Literal["files", "samples"] = "files" if content["kind"] == "files" else "samples"
        skipped = None if content["skipped"] is None else tuple(map(str, content["skipped"]))
        moments = content["moments"]
        if moments is not None:
            moments = tuple(map(float, moments[0])), tuple(map(float, moments[1]))
        found = cls(kind, classes, parts, dict(content["transform"]), skipped, moments=moments)
        if found.digests != content["digests"]:
            raise ValueError("the digests are not those of what was recorded")
        if files is not None and _parts_of(files, classes) == parts:
            return replace(found, files=files)
        return found


def agree(before: Mapping[str, str | None], now: Mapping[str, str | None]) -> bool:
    """Whether digests of two fingerprints are equal, as far as both are known."""
    known = [key for key in before.keys() & now.keys() if before[key] is not None and now[key] is not None]
    return all(before[key] == now[key] for key in known)


def fingerprint(
    data: DataModule, stream: Callable[[Split], BatchStream], reading: Reading, *, content: bool
) -> Fingerprint:
    """Finds out what a data set consists of.

    Files that are listed are not opened unless ``content`` is asked for. Samples that are in memory are hashed always,
    and others if ``content`` is asked for and they never change. Of samples that are drawn anew each epoch, the number
    and the labels at hand are all that is known.

    Args:
        data: the data.
        stream: function that returns a stream of a split's samples; called only for data without a listing.
        reading: how files may be read.
        content: whether to read the content of all files or samples.

    Raises:
        DataError: a file or sample can't be read.
        Interrupted: a stop was requested.
    """
    classes = tuple(map(_normal, data.specification.classes))
    transform = json.loads(json.dumps(dict(data.transform), default=str))  # as it will be read back
    if data.listing is not None:
        files = _files(data, data.listing, reading, content=content)
        return Fingerprint("files", classes, _parts_of(files, classes), transform, skipped_in(data), files)
    present = [split for split in get_args(Split) if data.split_lengths.get(split)]
    parts = {split: _part(stream(split), len(classes), reading, content=content) for split in present}
    return Fingerprint("samples", classes, parts, transform, skipped_in(data))


def skipped_in(data: DataModule) -> tuple[str, ...] | None:
    """Returns the names of the files that data leaves out; None if that is not known yet."""
    return None if data.skipped is None else tuple(map(_normal, data.skipped))


def _files(data: DataModule, listing: Listing, reading: Reading, *, content: bool) -> Files:
    splits = [LEFT_OUT] * len(listing)
    for split in get_args(Split):
        for position in data.assigned(split).tolist():
            splits[position] = f"{splits[position]}+{split}" if splits[position] else split
    return Files(
        list(map(_normal, listing.names)),
        list(listing.sizes),
        list(listing.labels) if listing.classes else [],
        splits,
        data.contents(reading) if content else None,
        _targets(listing),
        None if listing.held is None else list(listing.held),
        None if listing.held is None else {split: n for split, n in data.assigned_lengths.items() if n},
    )


def _targets(listing: Listing) -> list[str]:
    """Returns what each sample's target is, beside its label."""
    if listing.targets is not None:
        return [
            f"{_normal(name)} {size}" for name, size in zip(listing.targets.names, listing.targets.sizes, strict=True)
        ]
    return [" ".join(map(repr, values)) for values in listing.values]


def _parts_of(files: Files, classes: Sequence[str]) -> dict[str, Part]:
    parts = {}
    for split in get_args(Split):
        if positions := files.of(split):
            labels = [files.labels[i] for i in positions] if files.labels else [-1] * len(positions)
            counts = Counter(labels)
            own = [f"{files.targets[i]}\0" for i in positions] if files.targets else [""] * len(positions)
            names = "".join(
                f"{files.names[i]}\0{files.sizes[i]}\0{label}\0{target}"
                for i, label, target in zip(positions, labels, own, strict=True)
            )
            if files.held is not None:
                names += "".join([f"{files.held[i]}\0" for i in positions])
            content = None if files.sha256 is None else "".join([files.sha256[i] for i in positions])
            parts[split] = Part(
                len(positions) if files.samples is None else files.samples[split],
                tuple(counts[label] for label in range(len(classes))) if files.labels else (),
                hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
                None if content is None else hashlib.sha256(content.encode()).hexdigest(),
            )
    return parts


def _part(stream: BatchStream, classes: int, reading: Reading, *, content: bool) -> Part:
    labels = None if stream.labels is None else stream.labels.cpu()
    hashed = stream.kind == "resident" or (content and stream.kind == "fixed")
    known = content_of(stream, reading) if hashed else None
    counted = labels is not None and classes and 0 <= labels.min() <= labels.max() < classes
    by_class = labels.bincount(minlength=classes).tolist() if labels is not None and counted else ()
    names = hashlib.sha256(b"" if labels is None else labels.numpy().tobytes())
    return Part(stream.samples, tuple(by_class), names.hexdigest(), known)


def content_of(stream: BatchStream, reading: Reading | None = None) -> str:
    """Returns the SHA-256 of a split's images, (N, C, H, W) as they are held, followed by its targets.

    Raises:
        DataError: samples can't be read.
        Interrupted: a stop was requested.
    """
    content, targets = hashlib.sha256(), []
    for batch in stream.in_order(stream.samples, TOGETHER):
        if reading is not None and reading.stopping():
            raise Interrupted
        content.update(batch.images.cpu().contiguous().numpy().data)
        targets += [] if batch.targets is None else [batch.targets.cpu().numpy().tobytes()]
    content.update(b"".join(targets))
    return content.hexdigest()


def _normal(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
