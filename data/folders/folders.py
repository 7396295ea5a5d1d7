"""A folder of images as it was meant: which sub-folders are splits, which are classes, and which files are samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from firebox.data.bases.datamodule import EMBEDDED
from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Listing, Split
from firebox.data.division.split_names import KNOWN, Doubt, are_divided, named, setting_of, splits_among
from firebox.data.folders.class_folders import (
    classes_of,
    doubtful,
    require_apart,
    require_known,
    same_files,
    same_folders,
)
from firebox.data.folders.tree import SUFFIXES, Folder, Tree, canonical
from firebox.foundation.problems import listed, printable, setting, similar

Splits = Literal["auto", "none"] | dict[Split, str]
"""What tells the splits of a folder: the names of its sub-folders, nothing, or a map to folders below it."""

_NONE = f"if all folders are classes: {setting('datamodule.splits', 'none')}"


def list_folder(root: Path, splits: Splits = "auto") -> Listing:
    """Lists the images below a folder.

    Args:
        root: the folder.
        splits: what tells its splits.

    Raises:
        DataError: there is no such folder, it holds no images, something in it can't be read, or it isn't clear what
            its sub-folders are meant to be.
    """
    try:
        return _list(root, splits)
    except DataError as error:
        raise DataError(printable(str(error))) from None


def _list(root: Path, splits: Splits) -> Listing:
    require_folder(root)
    tree = Tree(root)
    if isinstance(splits, dict):
        places = _named(tree, splits)
    else:
        top = tree.walk()
        if not top:
            raise DataError(_no_images(root, tree))
        places = {"train": top} if splits == "none" else _told(root, top)
    require_apart(root, places)
    classes = {split: classes_of(root, place) for split, place in places.items()}
    notes, warnings = tree.notes(), tree.warnings()
    notes += same_folders(root, classes)
    require_known(root, places, classes)
    warnings += [*doubtful(root, places, classes), *same_files(tree, classes)]
    if isinstance(splits, dict):
        notes += _unnamed(root, places)
    else:
        notes += _empty(top, places)
        warnings += _beside(top, places)
    names = tuple(classes["train"])
    order = [position for place in places.values() for position in range(place.begin, place.end)]
    numbers = {name: number for number, name in enumerate(names)}
    labels: list[int] = []
    for found in classes.values():
        for name, folder in found.items():
            labels += [numbers[name]] * (folder.end - folder.begin)
    positions: dict[Split, range] = {}
    begin = 0
    for split, place in places.items():
        positions[split] = range(begin, begin := begin + place.end - place.begin)
    unlabelled = names == ("",)
    return Listing(
        root,
        [tree.names[position] for position in order],
        [tree.sizes[position] for position in order],
        [tree.changed[position] for position in order],
        [] if unlabelled else labels,
        () if unlabelled else names,
        positions,
        [printable(note) for note in notes],
        [printable(warning) for warning in warnings],
    )


def require_folder(root: Path) -> None:
    """Requires the root of a data set to be a folder.

    Raises:
        DataError: it is none.
    """
    try:
        if root.is_dir():
            return
        there = root.exists()
    except OSError as error:
        raise DataError(f"{root.absolute()} can't be read: {error.strerror}") from error
    if there:
        raise DataError(
            f"{root.absolute()} is a file; datamodule.root names a folder of images: unpack an archive first"
        )
    raise DataError(f"there is no folder {root.absolute()}; datamodule.root names the folder of the images. {EMBEDDED}")


def _no_images(place: Path, tree: Tree) -> str:
    contents = tree.contents()
    told = f", but {contents}; unpack archives, and convert images of other kinds." if contents else "."
    return f"{place.absolute()} holds no images ({', '.join(SUFFIXES)}){told} {EMBEDDED}"


def _named(tree: Tree, splits: Mapping[Split, str]) -> dict[Split, Folder]:
    """Returns the folder of each split, as a setting names it."""
    places: dict[Split, Folder] = {}
    for split, name in sorted(splits.items(), key=lambda item: canonical(item[1])):
        path, given = Path(name), f"datamodule.splits gives {name} for {split}"
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{given}, expected a folder below {tree.root}, such as {split}")
        if not (tree.root / path).is_dir():
            there = [folder.name for folder in tree.root.iterdir() if folder.is_dir()]
            raise DataError(f"{given}, but there is no folder {tree.root / path}{similar(name, there)}")
        places[split] = tree.walk("" if path == Path() else path.as_posix())
        if not places[split]:
            raise DataError(f"{given}, but {_no_images(tree.root / path, tree)}")
    return places


def _told(root: Path, top: Folder) -> dict[Split, Folder]:
    """Returns the folder of each split, as the names of the sub-folders tell."""
    folders = {folder.name: folder for folder in top.holding()}
    found = splits_among(list(folders))
    if isinstance(found, Doubt):
        empty = [folder.name for folder in top.folders if not folder and KNOWN.get(folder.name.casefold()) == "train"]
        holds = f", and {named(empty)} holds no images" if empty else ""
        raise DataError(f"{root}: {found.why}{holds}; {_ways_out(found.likely)}; {_NONE}")
    if found:
        return {split: folders[name] for split, name in found.items()}
    inner = _deeper(top)
    if inner is not None:
        place = root / inner.path
        there = named([folder.name for folder in inner.holding()])
        way = setting("datamodule.root", str(place))
        raise DataError(
            f"{place} has {there} like splits, below folders that are none; for these alone: {way}; {_NONE}"
        )
    return {"train": top}


def _ways_out(likely: Mapping[Split, str]) -> str:
    """Returns what is expected, and a setting that says which folders are the splits."""
    chosen: Mapping[Split, str] = likely if "train" in likely else {"train": next(iter(likely.values()))}
    expected = "expected train, validation (or val) and test alone, train among them; to name the splits"
    return f"{expected}: {setting_of(chosen)}"


def _deeper(top: Folder) -> Folder | None:
    """Returns a folder below the top whose sub-folders are named like splits; None if there is none."""
    inner = top
    while not inner.loose and len(inner.holding()) == 1:
        inner = inner.holding()[0]
        if splits_among([folder.name for folder in inner.holding()]):
            return inner
    return next((f for f in top.below() if are_divided([folder.name for folder in f.holding()])), None)


def _unnamed(root: Path, places: Mapping[Split, Folder]) -> Iterator[str]:
    """Yields which folders and images at the top a map of the splits does not name."""
    chosen = {place.path.partition("/")[0] for place in places.values()}
    if "" not in chosen:
        there = sorted(path for path in root.iterdir() if path.name not in chosen and not path.name.startswith("."))
        left = [path.name for path in there if path.suffix.lower() in SUFFIXES or path.is_dir()]
        if left:
            yield f"left out what splits does not name: {listed(left)}"


def _empty(top: Folder, places: Mapping[Split, Folder]) -> Iterator[str]:
    """Yields which folders that might be splits or classes hold no images."""
    places_and_top = {place.path: place for place in (top, *places.values())}
    empty = [folder.path for place in places_and_top.values() for folder in place.folders if not folder]
    if empty:
        yield f"left out folders that hold no images: {listed(empty)}"


def _beside(top: Folder, places: Mapping[Split, Folder]) -> Iterator[str]:
    """Yields which images lie beside the splits."""
    if top.loose and top not in places.values():
        yield f"left out images that lie beside the splits: {listed(top.loose, 3)}"
