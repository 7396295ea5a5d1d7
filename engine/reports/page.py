"""The page of a report: one HTML file with everything in it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from firebox.engine.records.comparison import compare, short_names
from firebox.engine.records.comparison_tables import duration, table_of, transposed
from firebox.engine.records.recorded import Recorded
from firebox.engine.reports.content import content_of
from firebox.engine.reports.curves import curves_of
from firebox.engine.reports.pictures import films_of
from firebox.foundation.problems import printable_lines

PICTURE_BYTES = 2_500_000
"""What all pictures of a page may take, in bytes before they are written as text, which takes a third more."""

FEW_RUNS = 4
"""Number of runs up to which each has a column in the comparison."""


def page(records: Sequence[Recorded]) -> str:
    """Returns the page about runs and archives. It loads nothing and runs no script but its own.

    Every text of a run is escaped, and what is not printable is written as an escape sequence.
    """
    names = short_names([record.path for record in records])
    contents = [content_of(record, name) for record, name in zip(records, names, strict=True)]
    scripts = [_file("uplot/uPlot.iife.min.js"), _file("script.js")]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_readable)
    return environment.from_string(_file("template.html")).render(
        title=contents[0].title if len(contents) == 1 else f"{len(contents)} runs compared",
        contents=contents,
        comparison=_comparison(records) if len(contents) > 1 else [],
        drawn=Markup(_json(_drawn(records, names))),
        style=Markup(_file("uplot/uPlot.min.css") + _file("style.css")),
        scripts=[Markup(script) for script in scripts],
        policy=" ".join(_digest(script) for script in scripts),
        licence=Markup(_file("uplot/LICENSE").replace("--", "- -")),
        made=time.strftime("%Y-%m-%d %H:%M"),
        version=metadata.version("firebox"),
        duration=duration,
    )


def _comparison(records: Sequence[Recorded]) -> list[list[str]]:
    """Returns the comparison with a column for each run, or a row for each if there are many."""
    rows = table_of(compare(records))
    return transposed(rows) if len(rows) - 1 <= FEW_RUNS else rows


def _drawn(records: Sequence[Recorded], names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns what the page's script draws of each run: curves and pictures."""
    found, runs = [], {record.path.resolve() for record in records}
    for record, name in zip(records, names, strict=True):
        images = (record.path if record.origin is None else record.origin.path) / "images"
        # The curves of a run and of its archive are the same.
        shown = record.origin is not None and (record.kind == "run" or record.origin.path.resolve() not in runs)
        series = curves_of(record.origin.losses) if record.origin is not None and shown else []
        films = films_of(images, PICTURE_BYTES // len(records))
        found.append(
            {
                "name": printable_lines(name),
                "series": [{**asdict(each), "values": [float(f"{v:.6g}") for v in each.values]} for each in series],
                "films": [asdict(film) for film in films],
            }
        )
    return found


def _json(value: Any) -> str:
    """Returns JSON that ends no element of a page, whatever its texts."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _readable(value: Any) -> Any:
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _digest(script: str) -> str:
    """Returns a script's hash, by which a content security policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _file(name: str) -> str:
    return files("firebox.engine.reports").joinpath("static", name).read_text(encoding="utf-8")
