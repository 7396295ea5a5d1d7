"""A run's metrics as a table, for the console, log.txt and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from firebox.foundation.problems import printable


def results_table(metrics: Mapping[str, float]) -> list[list[str]]:
    """Returns a table with a row for each metric and a column for each split, the first row being its header.

    Args:
        metrics: values by ``split/name``.
    """
    splits = dict.fromkeys(key.partition("/")[0] for key in metrics)
    names = dict.fromkeys(key.partition("/")[2] for key in metrics)
    return [["metric", *splits]] + [
        [name, *(f"{metrics[key]:.6g}" if (key := f"{split}/{name}") in metrics else "" for split in splits)]
        for name in names
    ]


def as_markdown(rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown; the first row is its header, and every text is shown as it is."""
    header, *others = [[_literal(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *others))


def _literal(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|~&" else letter for letter in printable(text))
