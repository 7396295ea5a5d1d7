"""Images that are to be read in an order: those below a folder, those that a table names, or a single one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firebox.data.declarations.data_error import DataError
from firebox.data.folders.tree import SUFFIXES, Tree
from firebox.data.tables.table import PARQUET, read_table
from firebox.foundation.problems import counted, listed, printable, shown

TABLES = (".csv", ".tsv", *PARQUET)
COLUMN = "path"


@dataclass(frozen=True, slots=True)
class ImageList:
    """Image files in an order.

    Args:
        origin: the folder, table or file that was given.
        folders: folders in which a name is looked for, the first in which it exists.
        names: name of each file, with forward slashes; a surrogate for each byte that isn't UTF-8.
        notes: what was left out and why; a sentence each, printable.
        warnings: what may not be meant; a sentence each, printable.
    """

    origin: Path
    folders: tuple[Path, ...]
    names: Sequence[str]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    def path_of(self, position: int) -> Path:
        """Returns the path of a file."""
        places = [folder / self.names[position] for folder in self.folders]
        return next((place for place in places if place.is_file()), places[0])


def list_images(given: Path, column: str | None = None) -> ImageList:
    """Lists images.

    Args:
        given: a folder, whose images are taken at any depth, ordered by name; a table whose rows name an
            image each, beside the table or else in the working directory; or an image.
        column: the column of the table that has the paths; None for ``path``.

    Raises:
        DataError: there is no such folder or file, it has no images, or it can't be read.
    """
    try:
        if given.is_dir():
            found = _below(given)
        elif not given.exists():
            raise DataError(
                f"there is no {given}; expected a folder of images, a table ({' or '.join(TABLES)}) or an image"
            )
        elif given.suffix.lower() in TABLES:
            return _of_table(given, column or COLUMN)
        else:
            found = ImageList(given, (given.parent,), [given.name])
    except (DataError, OSError) as error:
        raise DataError(printable(str(error))) from None
    if column is not None:
        raise DataError(f"--column {shown(column)} is for a table ({' or '.join(TABLES)}), and {given} is none")
    return found


def _below(root: Path) -> ImageList:
    tree = Tree(root)
    top = tree.walk()
    if not tree.names:
        contents = tree.contents()
        raise DataError(f"{root} holds no images ({', '.join(SUFFIXES)})" + (f", but {contents}" if contents else ""))
    again = [folder.path for folder in top.below() if folder.same is not None]
    notes = [*tree.notes(), *([f"left out folders that are reached twice: {listed(again, 3)}"] if again else [])]
    return ImageList(root, (root,), tree.names, [printable(n) for n in notes], [printable(w) for w in tree.warnings()])


def _of_table(table: Path, column: str) -> ImageList:
    read = read_table(table, {"column": [column]}, prefix="--")
    read.refuse()
    names = ["" if cell is None else str(cell).strip() for cell in read.columns[column]]
    warnings = []
    if double := len(names) - len(set(names)):
        warnings.append(f"{table} names {counted(double, 'image')} again, which are predicted again")
    return ImageList(table, (table.parent, Path()), names, warnings=[printable(w) for w in warnings])
