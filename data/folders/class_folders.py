"""The class folders of each split, and what is wrong or remarkable about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Split
from firebox.data.division.split_names import setting_of
from firebox.data.folders.tree import Folder, Tree, canonical
from firebox.foundation.problems import counted, listed, printable, setting, similar

Classes = Mapping[str, Folder]
"""The folder of each class of a split; without class folders, the split's own under the name ""."""


def classes_of(root: Path, place: Folder) -> dict[str, Folder]:
    """Returns the folder of each class; without class folders, the place itself under the name ""."""
    folders = place.holding()
    if folders and place.loose:
        stray = f"images outside them: {listed([path.rpartition('/')[2] for path in place.loose], 3)}"
        told = f"{root / place.path} has class folders ({listed([f.name for f in folders])}) and {stray}"
        raise DataError(f"{told}; move these into a class folder, or out of the folder")
    classes: dict[str, Folder] = {}
    for folder in folders:
        name = printable(canonical(folder.name))
        if name in classes:
            path = root / place.path
            raise DataError(f"{path} has two folders named {name}, in different Unicode forms; rename one of them")
        classes[name] = folder
    return classes or {"": place}


def require_known(root: Path, places: Mapping[Split, Folder], classes: Mapping[Split, Classes]) -> None:
    """Requires training to have all classes.

    Raises:
        DataError: another split has a class that training does not have.
    """
    known = classes["train"]
    for split, found in classes.items():
        stray = [name for name in found if name not in known]
        if not stray:
            continue
        has = listed([name or "images outside class folders" for name in stray])
        expected = listed([name or "no class folders" for name in known])
        close = next((name for name in known if name.casefold() == stray[0].casefold()), None)
        hint = similar(stray[0], known) if close is None else f"; did you mean {close}?"
        others = {each: place.path or "." for each, place in places.items() if each != split}
        told = f"{root / places[split].path} has {has}, but {root / places['train'].path} has {expected}{hint}"
        raise DataError(f"{told}; to do without {split}: {setting_of(others)}")


def require_apart(root: Path, places: Mapping[Split, Folder]) -> None:
    """Requires the splits to be folders of their own.

    Raises:
        DataError: a split is the folder of another, or lies in it.
    """
    for place in places.values():
        if place.same is not None:
            raise _same(root, place.same, place)


def _same(root: Path, first: Folder, second: Folder) -> DataError:
    places = f"{root / first.path} and {root / second.path}"
    return DataError(f"{places} are the same folder, and would be of two classes or splits; remove one, or the link")


def same_folders(root: Path, classes: Mapping[Split, Classes]) -> Iterator[str]:
    """Yields which folders are left out because they are another of the same class.

    Raises:
        DataError: a folder would be of two classes or splits.
    """
    for found in classes.values():
        for own in found.values():
            for link in (own, *own.below()):
                first = link.same
                if first is None:
                    continue
                if not own.begin <= first.begin < first.end <= own.end:
                    raise _same(root, first, link)
                yield f"left out {link.path}: the same folder as {first.path}"


def same_files(tree: Tree, classes: Mapping[Split, Classes]) -> Iterator[str]:
    """Yields which files are samples more than once.

    Raises:
        DataError: a file would be a sample of two splits.
    """
    if not tree.twins:
        return
    owners: list[Split | None] = [None] * len(tree.names)
    for split, found in classes.items():
        for folder in found.values():
            owners[folder.begin : folder.end] = [split] * (folder.end - folder.begin)
    twins = [(a, b) for a, b in tree.twins if owners[a] is not None and owners[b] is not None]
    for a, b in twins:
        if owners[a] != owners[b]:
            same = f"{tree.root / tree.names[a]} and {tree.root / tree.names[b]} are the same file, by a link"
            raise DataError(f"{same}, and would be a sample of {owners[a]} and of {owners[b]}; remove one of them")
    if twins:
        pair = " and ".join(tree.names[position] for position in twins[0])
        yield f"the same file is a sample more than once, by links, in {counted(len(twins), 'case')}, such as {pair}"


def doubtful(root: Path, places: Mapping[Split, Folder], classes: Mapping[Split, Classes]) -> Iterator[str]:
    """Yields what is remarkable about the classes."""
    known = classes["train"]
    for split, found in classes.items():
        absent = [name for name in known if name not in found]
        if absent:
            yield f"{places[split].path} has no images of {len(absent):,} of {len(known):,} classes: {listed(absent)}"
    cased: dict[str, str] = {}
    for name in known:
        first = cased.setdefault(name.casefold(), name)
        if first != name:
            yield f"the classes {first} and {name} differ in case alone"
    only = next(iter(known.values()))
    inner = [folder.name for folder in only.holding()]
    if (
        list(places) == ["train"]
        and only is not places["train"]
        and len(known) == 1
        and len(inner) > 1
        and not only.loose
    ):
        way = setting("datamodule.root", str(root / only.path))
        yield f"all images are of one class, {only.name}; if its folders ({listed(inner)}) are the classes: {way}"
