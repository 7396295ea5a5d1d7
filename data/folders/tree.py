"""The images below a folder, with all that is left out and why."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from firebox.data.declarations.data_error import DataError
from firebox.foundation.problems import counted, listed

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
OTHER_IMAGES = frozenset(
    {
        ".avif",
        ".dcm",
        ".heic",
        ".heif",
        ".jp2",
        ".jpe",
        ".npy",
        ".pgm",
        ".ppm",
        ".svg",
    }
)
"""Suffixes of images, or of what is often one, that are not read."""
OF_THE_SYSTEM = frozenset({"$RECYCLE.BIN", "@eaDir", "System Volume Information", "__MACOSX", "lost+found"})
"""Folders that systems put beside a user's own."""
DEEPEST = 100
"""Number of folders that may lie in each other."""

Identity = tuple[int, int]
"""Device and inode of a file or folder, the same by whatever link it is reached."""


@dataclass(slots=True)
class Folder:
    """A folder, and which images of the tree lie below it.

    Args:
        path: path below the root, with forward slashes; empty for the root.
        begin: position of its first image in the tree.
        end: position after its last image.
        loose: paths of the images that lie in it directly, below the root.
        folders: folders in it, in order.
        same: the folder that this is a link to, or the other way round, and that holds its images; None for most.
    """

    path: str
    begin: int
    end: int = 0
    loose: list[str] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    same: Folder | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def __bool__(self) -> bool:
        """Whether it holds images, at any depth."""
        return self.end > self.begin or self.same is not None or any(self.folders)

    def holding(self) -> list[Folder]:
        """Returns the folders in it that hold images."""
        return [folder for folder in self.folders if folder]

    def below(self) -> list[Folder]:
        """Returns all folders below it."""
        return [each for folder in self.folders for each in (folder, *folder.below())]


class Tree:
    """The images below a folder, each folder's in the order of their names.

    Names are ordered as their NFC forms, so that the order is the same on systems that store names in other forms.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.changed: list[int] = []
        self.twins: list[tuple[int, int]] = []
        """Positions of images that are the same file."""
        self.hidden: list[str] = []
        self.system: list[str] = []
        self.others: Counter[str] = Counter()
        """Numbers of files of other kinds, by suffix."""
        self.broken: list[str] = []
        """Links to what is not there."""
        self.special: list[str] = []
        """Sockets, pipes and devices with an image's name."""
        self.above: list[str] = []
        """Links to a folder that they lie in."""
        self._unreadable: list[str] = []
        self._files: dict[Identity, int] = {}
        self._folders: dict[Identity, Folder] = {}

    def walk(self, path: str = "") -> Folder:
        """Adds the images below a folder.

        Args:
            path: path of the folder below the root; empty for the root.

        Raises:
            DataError: something below it can't be read.
        """
        place = self.root / path
        state = place.stat()
        above = {_identity(each.stat()) for each in (*place.resolve().parents, self.root)} - {_identity(state)}
        folder = self._enter(os.fspath(place), path, state, above)
        if self._unreadable:
            many = f"{len(self._unreadable):,} files or folders below {self.root} can't be read: "
            message = f"{many if len(self._unreadable) > 1 else ''}{listed(self._unreadable, 3)}"
            raise DataError(f"{message}; give yourself the right to read them, or move them out of the folder")
        return folder

    def _enter(self, place: str, path: str, state: os.stat_result, above: set[Identity]) -> Folder:
        own = _identity(state)
        folder = Folder(path, len(self.names), len(self.names))
        known = self._folders.setdefault(own, folder)
        if known is not folder:
            folder.same = (known.same or known) if known else None
            return folder
        if len(path.split("/")) > DEEPEST:
            raise DataError(f"{place} lies more than {DEEPEST} folders below {self.root}; move it out of the folder")
        try:
            with os.scandir(place) as scanned:
                entries = sorted(scanned, key=_order)
        except OSError as error:
            self._unreadable.append(_told(place, error))
            return folder
        inside = above | {own}
        for entry in entries:
            name = entry.name
            below = f"{path}/{name}" if path else name
            try:
                if name.startswith("."):
                    self.hidden.append(below)
                elif entry.is_dir():
                    found = entry.stat()
                    if name in OF_THE_SYSTEM:
                        self.system.append(below)
                    elif _identity(found) in inside:
                        self.above.append(below)
                    else:
                        folder.folders.append(self._enter(entry.path, below, found, inside))
                elif name.lower().endswith(SUFFIXES):
                    self._take(folder, below, entry)
                elif entry.is_symlink() and not Path(entry.path).exists():
                    self.broken.append(below)
                else:
                    self.others[Path(name).suffix.lower()] += 1
            except OSError as error:
                if entry.is_symlink() and not isinstance(error, PermissionError):
                    self.broken.append(below)
                else:
                    self._unreadable.append(_told(entry.path, error))
        folder.end = len(self.names)
        return folder

    def _take(self, folder: Folder, below: str, entry: os.DirEntry[str]) -> None:
        state = entry.stat()
        if not stat.S_ISREG(state.st_mode):
            self.special.append(below)
            return
        if state.st_mode & 0o444 != 0o444 and not os.access(entry.path, os.R_OK):
            raise PermissionError(0, "Permission denied")
        position = len(self.names)
        first = self._files.setdefault((state.st_dev, state.st_ino), position)
        if first != position:
            self.twins.append((first, position))
        folder.loose.append(below)
        self.names.append(below)
        self.sizes.append(state.st_size)
        self.changed.append(state.st_mtime_ns)

    def contents(self) -> str:
        """Returns what there is besides images, as part of a sentence; an empty text if there is nothing."""
        kinds = [_kind(suffix, count) for suffix, count in self.others.most_common()]
        if self.broken:
            kinds.append(counted(len(self.broken), "broken link"))
        if self.hidden:
            kinds.append(f"{len(self.hidden):,} hidden")
        return listed(kinds, 8)

    def notes(self) -> list[str]:
        """Returns a sentence for each kind of thing that is left out."""
        plain = [(suffix, count) for suffix, count in self.others.most_common() if suffix not in OTHER_IMAGES]
        found = (
            (self.hidden, f"hidden files or folders: {listed(self.hidden, 3)}"),
            (plain, f"files that are no images: {listed([_kind(*each) for each in plain])}"),
            (self.system, f"folders of the system: {listed(self.system, 3)}"),
            (self.above, f"links to a folder above, whose images are samples already: {listed(self.above, 3)}"),
            (self.special, f"what has an image's name but is no file: {listed(self.special, 3)}"),
        )
        return [f"left out {what}" for things, what in found if things]

    def warnings(self) -> list[str]:
        """Returns a sentence for each kind of thing that is left out, but was perhaps meant to be in."""
        images = [_kind(suffix, count) for suffix, count in self.others.most_common() if suffix in OTHER_IMAGES]
        found = []
        if images:
            found.append(f"left out {listed(images)}: these kinds are not read ({', '.join(SUFFIXES)} are)")
        if self.broken:
            found.append(f"left out broken links: {listed(self.broken, 3)}")
        return found


def canonical(name: str) -> str:
    """Returns the NFC form of a name."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _order(entry: os.DirEntry[str]) -> tuple[str, str]:
    return canonical(entry.name), entry.name


def _identity(state: os.stat_result) -> Identity:
    return state.st_dev, state.st_ino


def _kind(suffix: str, count: int) -> str:
    return f"{count:,} {suffix or 'without a suffix'}"


def _told(place: str, error: OSError) -> str:
    return f"{place} ({error.strerror})"
