"""A folder of images as it was meant: which sub-folders are splits, which are classes, and which files are samples."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from firebox.data.data_error import DataError
from firebox.data.datamodule import EMBEDDED
from firebox.data.listing import Listing, Split

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def list_folder(root: Path) -> Listing:
    """Lists the images below a folder.

    Raises:
        DataError: there is no such folder, it holds no images, or it isn't clear what its sub-folders are meant to be.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root.absolute()}; datamodule.root names the folder of the images. {EMBEDDED}"
        )
    folders = _folders(root)
    if {"validation", "val"} <= set(folders) <= set(SPLIT_FOLDERS):
        raise DataError(f"{root} has both validation/ and val/, expected one of them")
    divided = "train" in folders and set(folders) <= set(SPLIT_FOLDERS)
    places: dict[Split, Path] = {SPLIT_FOLDERS[f]: root / f for f in folders} if divided else {"train": root}
    found = {split: _images_by_class(place) for split, place in places.items()}
    classes = tuple(found["train"])
    files: list[Path] = []
    labels: list[int] = []
    splits: dict[Split, range] = {}
    for split, images in found.items():
        unknown = [name for name in images if name not in classes]
        if unknown:
            known = ", ".join(name or "no class folders" for name in classes)
            stray = ", ".join(name or "images outside class folders" for name in unknown)
            raise DataError(f"{places[split]} has {stray}, but {places['train']} has {known}")
        begin = len(files)
        files += [file for name in images for file in images[name]]
        labels += [classes.index(name) for name in images for _ in images[name]]
        splits[split] = range(begin, len(files))
    states = [file.stat() for file in files]
    unlabelled = classes == ("",)
    return Listing(
        root,
        [file.relative_to(root).as_posix() for file in files],
        [state.st_size for state in states],
        [state.st_mtime_ns for state in states],
        [] if unlabelled else labels,
        () if unlabelled else classes,
        splits,
    )


def _images_by_class(place: Path) -> dict[str, list[Path]]:
    """Returns the images of each class folder that has any; without class folders, all images under the name ""."""
    classes = {name: images for name in _folders(place) if (images := sorted(_images(place / name)))}
    loose = sorted(path for path in place.iterdir() if _is_image(path.name))
    if classes and loose:
        raise DataError(
            f"{place} has class folders ({', '.join(classes)}) and images outside them, such as {loose[0].name}"
        )
    if not classes and not loose:
        raise DataError(f"{place.absolute()} holds no images ({', '.join(SUFFIXES)}). {EMBEDDED}")
    return classes or {"": loose}


def _folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(place: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(place, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if _is_image(name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
