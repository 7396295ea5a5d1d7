"""Tables as one text: what Rich would print, but for spaces at the ends of lines."""

from io import StringIO

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from firebox.foundation.aligned import aligned
from firebox.foundation.console import _AsWritten

ROWS = [["a", "1.5", "one"], ["two words", "22", "[red]x"], ["你好", "", "\x1b[1m"]]


def table_of(rows, box=None):
    table = Table(box=box, pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("number", justify="right")
    table.add_column("rest", no_wrap=True)
    for name, number, rest in rows:
        table.add_row(name, Text(number, "green"), rest)
    return table


def printed(what, width=200, **options):
    console = _AsWritten(file=StringIO(), width=width, highlight=False, soft_wrap=True, **options)
    console.print(what)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_it_is_what_rich_prints():
    text = aligned(table_of(ROWS), 200)
    assert printed(text) == printed(table_of(ROWS))
    assert all(line == line.rstrip() for line in text.plain.splitlines())
    coloured = "\n".join(printed(text, force_terminal=True, color_system="standard"))
    assert "\x1b[32m22\x1b[0m" in coloured and "\x1b[1mname\x1b[0m" in coloured


def test_what_is_too_wide_or_has_several_lines_or_borders_is_left_to_rich():
    width = max(map(cell_len, printed(table_of(ROWS))))
    assert aligned(table_of(ROWS), width) is not None
    assert aligned(table_of(ROWS), width - 1) is None
    assert aligned(table_of([["a\nb", "", ""]]), 200) is None
    assert aligned(table_of(ROWS, box=SIMPLE), 200) is None
