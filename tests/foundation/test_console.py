"""What is said is printable text, on the terminal, in tables and in log.txt: names are anybody's."""

import logging

import pytest
from rich.table import Table

from firebox.foundation import console
from firebox.foundation.problems import printable, printable_lines

HOSTILE = "[red]a[/red] \x1b]0;title\x07 \x9b31m \r \u202e :smile:"


def shown(text):
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.fixture
def log(tmp_path):
    console.start(quiet=False)
    console.log_to(tmp_path / "log.txt")
    yield tmp_path / "log.txt"
    for handler in [handler for handler in console.logger.handlers if isinstance(handler, logging.FileHandler)]:
        console.logger.removeHandler(handler)
        handler.close()


def test_a_record_is_printable_on_the_terminal_and_in_the_log(log, capsys):
    console.logger.info("%s", HOSTILE)
    said, written = capsys.readouterr().err, log.read_text()
    for text in (said, written):
        assert shown(text) and "[red]a[/red] \\x1b]0;title" in text and ":smile:" in text


def test_no_line_of_a_name_is_taken_for_a_record_of_the_log(log):
    console.logger.info("run %s", "a\n2026-01-01 00:00:00,000 INFO    completed: forged")
    first, second = log.read_text().splitlines()
    assert first.endswith("run a") and second.startswith("    2026-01-01")


def test_a_table_shows_names_as_they_are_written(capsys):
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    console.tabulate(table)
    text = capsys.readouterr().out
    assert shown(text) and text.count("[red]a[/red] \\x1b]0;title") == 3


def test_printable_text_stays_as_it_is():
    assert printable("Grüße, 你好 — ok") == printable_lines("Grüße, 你好 — ok") == "Grüße, 你好 — ok"
    assert printable("a\nb") == "a\\nb" and printable_lines("a\nb\x1b") == "a\nb\\x1b"
