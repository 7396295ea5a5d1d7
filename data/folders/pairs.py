"""Images in one folder and their targets in another, matched by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Listing, Split, TargetFiles
from firebox.data.division.split_names import Doubt, named, setting_of, splits_among
from firebox.data.folders.folders import Splits, require_folder
from firebox.data.folders.tree import SUFFIXES, Folder, Tree, canonical
from firebox.foundation.problems import counted, listed, printable, setting, similar

Places = dict[Split, tuple[str, str]]
"""The folders of the images and of the targets of each split, below the root."""


def list_pairs(root: Path, images: str, targets: str, splits: Splits = "auto") -> Listing:
    """Lists images and their targets.

    Args:
        root: folder that everything lies in.
        images: name of the folders of images.
        targets: name of the folders of their targets.
        splits: what tells the splits.

    Raises:
        DataError: there are no such folders or no pairs in them, something can't be read, or it isn't clear what
            belongs together.
    """
    try:
        return _list(root, images, targets, splits)
    except DataError as error:
        raise DataError(printable(str(error))) from None


def _list(root: Path, images: str, targets: str, splits: Splits) -> Listing:
    require_folder(root)
    for name, folder in (("images", images), ("targets", targets)):
        if Path(folder).is_absolute() or ".." in Path(folder).parts or Path(folder) == Path():
            raise DataError(f"datamodule.{name} is {folder}, expected a folder below {root}, such as {name}")
    places = _places(root, images, targets, splits)
    trees = Tree(root), Tree(root)
    pairs: list[tuple[int, int]] = []
    positions: dict[Split, range] = {}
    alone: list[str] = []
    unused: list[str] = []
    for split, names in places.items():
        folders = [_walked(tree, name) for tree, name in zip(trees, names, strict=True)]
        found, own = (_stems(tree, folder) for tree, folder in zip(trees, folders, strict=True))
        matched = [(position, own[stem]) for stem, position in found.items() if stem in own]
        if not matched:
            first = [tree.names[folder.begin] for tree, folder in zip(trees, folders, strict=True)]
            raise DataError(
                f"no image in {root / names[0]} has a target of the same name in {root / names[1]}: such as {first[0]} "
                f"and {first[1]}; name both alike, up to the suffix"
            )
        positions[split] = range(len(pairs), len(pairs) + len(matched))
        pairs += matched
        alone += [trees[0].names[position] for stem, position in found.items() if stem not in own]
        unused += [trees[1].names[position] for stem, position in own.items() if stem not in found]
    warnings = [warning for tree in trees for warning in tree.warnings()]
    if alone:
        warnings.append(f"left out {counted(len(alone), 'image')} without a target of the same name: {listed(alone)}")
    if unused:
        warnings.append(
            f"left out {counted(len(unused), 'target')} without an image of the same name: {listed(unused)}"
        )
    warnings += _beside(root, places, images, targets)
    picked = [position for position, _ in pairs]
    their = [position for _, position in pairs]
    return Listing(
        root,
        [trees[0].names[position] for position in picked],
        [trees[0].sizes[position] for position in picked],
        [trees[0].changed[position] for position in picked],
        [],
        (),
        positions,
        [printable(note) for tree in trees for note in tree.notes()],
        [printable(warning) for warning in warnings],
        targets=TargetFiles(
            [trees[1].names[position] for position in their],
            [trees[1].sizes[position] for position in their],
            [trees[1].changed[position] for position in their],
        ),
    )


def _places(root: Path, images: str, targets: str, splits: Splits) -> Places:
    """Returns where the images and the targets of each split lie."""
    inside = [(root / folder).is_dir() for folder in (images, targets)]
    if any(inside) and not all(inside):
        missing, key = (images, "images") if inside[1] else (targets, "targets")
        raise DataError(
            f"there is no folder {root / missing}, which datamodule.{key} names{_has(root, missing, images, targets)}"
        )
    if all(inside):
        known = _folders(root / images)
    else:
        known = [name for name in _folders(root) if all((root / name / each).is_dir() for each in (images, targets))]
    if not known and not all(inside):
        there = _has(root, images, images, targets)
        raise DataError(
            f"{root} has no folders {images} and {targets}, nor folders that hold both{there}; "
            "datamodule.images and datamodule.targets name them"
        )
    none = f"; if none of them is a split: {setting('datamodule.splits', 'none')}" if all(inside) else ""
    found: Mapping[Split, str] | Doubt
    found = splits if isinstance(splits, dict) else {} if splits == "none" else splits_among(known)
    if isinstance(found, Doubt):
        raise DataError(f"{root}: {found.why}; to name the splits: {setting_of(found.likely)}{none}")
    if found:
        return {split: _place(root, split, found, images, targets, inside=all(inside)) for split in found}
    if all(inside):
        return {"train": (images, targets)}
    way = setting_of({"train": known[0]})
    raise DataError(f"{root}: {named(known)} hold both folders, but are not named like splits; to name them: {way}")


def _place(
    root: Path, split: Split, splits: Mapping[Split, str], images: str, targets: str, *, inside: bool
) -> tuple[str, str]:
    """Returns the folders of a split's images and targets."""
    name = splits[split]
    places = (f"{images}/{name}", f"{targets}/{name}") if inside else (f"{name}/{images}", f"{name}/{targets}")
    for place in places:
        if Path(name).is_absolute() or ".." in Path(name).parts or not (root / place).is_dir():
            others = {each: folder for each, folder in splits.items() if each != split}
            way = similar(name, _folders((root / place).parent if inside else root))
            way += f"; to do without {split}: {setting_of(others)}" if "train" in others else ""
            raise DataError(f"the {split} split is {name}, but there is no folder {root / place}{way}")
    return places


def _folders(place: Path) -> list[str]:
    """Returns the names of the folders in a folder, none that is hidden."""
    try:
        return sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{place} can't be read: {error.strerror}") from error


def _has(root: Path, wanted: str, *known: str) -> str:
    """Says which folders there are, and which of those that are not known is perhaps the one that is wanted."""
    folders = _folders(root)
    return f"; it has {named(folders)}{similar(wanted, set(folders) - set(known))}" if folders else ""


def _walked(tree: Tree, name: str) -> Folder:
    folder = tree.walk(PurePosixPath(name).as_posix())
    if folder.same is not None:
        raise DataError(f"{tree.root / folder.same.path} and {tree.root / name} are the same folder; remove the link")
    if not folder:
        contents = tree.contents()
        raise DataError(
            f"{tree.root / name} holds no images ({', '.join(SUFFIXES)}){f', but {contents}' * bool(contents)}"
        )
    return folder


def _stems(tree: Tree, folder: Folder) -> dict[str, int]:
    """Returns the position of each file in the tree by its path below the folder without the suffix."""
    stems: dict[str, int] = {}
    for position in range(folder.begin, folder.end):
        name = tree.names[position]
        stem = canonical(str(PurePosixPath(name).relative_to(folder.path).with_suffix("")))
        if stem in stems:
            both = f"{tree.names[stems[stem]]} and {name}"
            raise DataError(
                f"{both} in {tree.root} have the same name up to the suffix, expected one; remove the other"
            )
        stems[stem] = position
    return stems


def _beside(root: Path, places: Mapping[Split, tuple[str, str]], images: str, targets: str) -> Iterator[str]:
    """Yields which images lie beside the splits."""
    if list(places.values()) == [(images, targets)]:
        return
    for folder in (images, targets):
        place = root / folder
        loose = [path.name for path in place.iterdir() if path.suffix.lower() in SUFFIXES] if place.is_dir() else []
        if loose:
            yield f"left out images that lie beside the splits in {folder}: {listed(sorted(loose), 3)}"
