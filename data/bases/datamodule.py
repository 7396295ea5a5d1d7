"""The interface that every finite data set offers to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from firebox.data.declarations.data_error import DataError as DataError
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.division.hold_out import held_out_length as held_out_length
from firebox.data.division.hold_out import hold_out as hold_out
from firebox.data.division.listing import Listing
from firebox.data.division.listing import Split as Split
from firebox.data.sources.reading import Reading

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.moments import Moments
    from firebox.data.decoding.decoding import ImageDecoder
    from firebox.data.sources.source import ImageSource

Samples = Literal["resident", "prepared", "fixed", "changing"]
"""The samples of a split: already in memory, decoded beforehand, read but always the same, or possibly different in
each epoch."""


class DataModule(ABC):
    """A finite data set, its splits and its preprocessing.

    The keyword parameters of a subclass's constructor are its settings in a configuration. The constructor reads no
    data: ``specification`` and ``split_lengths`` answer from what is known beforehand.
    """

    reads: ClassVar[Samples] = "fixed"
    """The kind of samples that ``read`` returns; the memory of a run is estimated from it before anything is read."""
    reading: Reading = Reading()
    """How files may be read, and where what they hold may be kept, before ``prepare``; the run sets it."""
    _contents: tuple[Listing, Sequence[str]] | None = None

    @property
    @abstractmethod
    def specification(self) -> ImageSpecification:
        """Shape, range and classes of the samples."""

    @property
    @abstractmethod
    def split_lengths(self) -> dict[Split, int]:
        """Number of samples in each split. A split that is absent or has length 0 does not exist."""

    @property
    def image_decoder(self) -> ImageDecoder | None:
        """The way from an encoded image to a sample's image; None if samples are no encoded images."""
        return None

    @property
    def dtype(self) -> Literal["uint8", "uint16", "float32"]:
        """The dtype of the images as they are read, by which memory is estimated before anything is."""
        return "uint8" if self.image_decoder is None else self.image_decoder.dtype

    @property
    def assigned_lengths(self) -> dict[Split, int]:
        """Number of samples in each split with those that are skipped, which is known before they are found."""
        return self.split_lengths

    @abstractmethod
    def read(self, split: Split) -> ImageSource:
        """Reads a split.

        Raises:
            DataError: files are missing; the message names them, where to put them, and a data set that needs none.
        """

    def missing(self) -> str | None:
        """Returns a text that says which files are missing and where to put them; None if none is missing."""
        return None

    @property
    def whole(self) -> DataModule:
        """The data without a limit."""
        return self

    @property
    def listing(self) -> Listing | None:
        """The files of the samples, if they are known before any is decoded; None otherwise."""
        return None

    def assigned(self, split: Split) -> torch.Tensor:
        """Returns the positions in ``listing`` of a split's files, int64 of shape (n,), ascending.

        They are those that the listing assigns, unless the data divides its samples otherwise. Skipped files are among
        them.
        """
        import torch

        listing = self.listing
        return torch.tensor([] if listing is None else listing.splits.get(split, ()), dtype=torch.int64)

    @property
    def skipped(self) -> Sequence[str] | None:
        """Names of listed files that are left out of every split; None as long as ``prepare`` has to find them."""
        return ()

    @property
    def transform(self) -> Mapping[str, Any]:
        """What becomes of a file on its way to a sample, as plain data; empty if that is not known."""
        return {}

    @property
    def moments(self) -> Moments | None:
        """Mean and deviation of the training images, if ``prepare`` has measured them; None otherwise."""
        return None

    def contents(self, reading: Reading) -> Sequence[str]:
        """Returns the SHA-256 of the content of each file of ``listing``, which is read once; see ``contents_of``."""
        from firebox.data.preparation.file_digests import contents_of

        listing = self.listing
        assert listing is not None
        if self._contents is None or self._contents[0] is not listing:
            self._contents = listing, contents_of(listing, reading)
        return self._contents[1]

    def prepare(self, reading: Reading) -> None:
        """Does what takes long, such as decoding all files, once before the first ``read``.

        Raises:
            DataError: the data can't be used.
            Interrupted: a stop was requested.
        """


EMBEDDED = "The data set fashion_mini is embedded and needs no files: --set 'datamodule={name: fashion_mini}'"
"""The remedy for missing files. It replaces the whole section, because other data sets have other parameters."""


def require_files(root: Path, names: list[str], *, name: str, source: str) -> str | None:
    """Returns a text that names the missing files below ``root``; None if none is missing.

    Args:
        root: folder that the files belong in.
        names: file names below that folder.
        name: short name of the data set.
        source: one line that says where to get the files.
    """
    absent = [file for file in names if not (root / file).is_file()]
    if not absent:
        return None
    return (
        f"{name}: {len(absent)} of {len(names)} files are missing in {root}: {', '.join(absent)}. {source} {EMBEDDED}"
    )
