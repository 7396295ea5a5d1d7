"""Tables without borders as one text, for lists of a thousand rows: Rich lays out each cell by itself."""

from __future__ import annotations

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from firebox.foundation.problems import printable_lines

GAP = "  "


def aligned(table: Table, width: int) -> Text | None:
    """Returns a table as Rich would print it, without spaces at the ends of lines.

    Args:
        table: the table; its cells are shown literally.
        width: number of columns of the terminal.

    Returns:
        The text; None for a table that Rich has to lay out: it has borders, is too wide, or has cells of several lines.
    """
    columns = []
    for column in table.columns:
        cells = [*[column.header] * table.show_header, *column.cells]
        columns.append([cell if isinstance(cell, Text) else Text(printable_lines(str(cell))) for cell in cells])
    widths = [max((cell_len(cell.plain) for cell in cells), default=0) for cells in columns]
    if table.box is not None or sum(widths) + len(GAP) * (len(widths) - 1) > width:
        return None
    if any("\n" in cell.plain for cells in columns for cell in cells):
        return None
    text = Text()
    for number, row in enumerate(zip(*columns, strict=True)):
        missing = ""
        for column, wide, cell in zip(table.columns, widths, row, strict=True):
            room = " " * (wide - cell_len(cell.plain))
            text.append(missing + room if column.justify == "right" else missing)
            if number == 0 and table.show_header:
                cell.stylize("table.header")
            text.append_text(cell)
            missing = GAP if column.justify == "right" else room + GAP
        text.append("\n")
    text.right_crop(1)
    return text
