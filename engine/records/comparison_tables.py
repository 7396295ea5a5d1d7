"""A comparison of runs as a table to read, as rows of numbers, and as objects for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firebox.engine.configuration.plain_values import Value
from firebox.engine.records.comparison import Comparison, Group, Summary
from firebox.foundation.problems import listed

UNKNOWN = "–"
"""Stands for a value that a run does not have."""


def table_of(comparison: Comparison) -> list[list[str]]:
    """Returns a table to read, a row for each group; its first row is its header.

    Over several seeds, a number is the mean ± the standard deviation.
    """
    number = ["runs"] if comparison.over_seeds else []
    best = [f"best {metric}" for metric in comparison.monitors]
    header = ["run", *number, *comparison.keys, *comparison.metrics, *best, "best at", "time", "parameters"]
    return [header, *(_row(comparison, group) for group in comparison.groups)]


def _row(comparison: Comparison, group: Group) -> list[str]:
    return [
        listed(group.names, 3),
        *([str(len(group.runs))] if comparison.over_seeds else []),
        *(text_of(group.settings.get(key)) for key in comparison.keys),
        *(_text(group.final.get(metric)) for metric in comparison.metrics),
        *(_text(group.best.get(metric)) for metric in comparison.monitors),
        UNKNOWN if group.best_iteration is None else f"{group.best_iteration.mean:,.0f}",
        UNKNOWN if group.seconds is None else duration(group.seconds.mean),
        UNKNOWN if group.parameters is None else f"{group.parameters:,}",
    ]


def rows_of_numbers(comparison: Comparison) -> list[dict[str, Value | None]]:
    """Returns a flat row for each group, all with the same columns, for CSV; None where something is unknown.

    Over several seeds, each number's standard deviation has a column of its own.
    """
    return [_numbers(comparison, group) for group in comparison.groups]


def _numbers(comparison: Comparison, group: Group) -> dict[str, Value | None]:
    summaries = {metric: group.final.get(metric) for metric in comparison.metrics}
    summaries |= {f"best {metric}": group.best.get(metric) for metric in comparison.metrics if _evaluated(metric)}
    summaries |= {"best iteration": group.best_iteration, "seconds": group.seconds}
    row: dict[str, Value | None] = {"run": " ".join(str(run.path) for run in group.runs), "runs": len(group.runs)}
    row |= {key: group.settings.get(key) for key in comparison.keys}
    for name, summary in summaries.items():
        row[name] = None if summary is None else summary.mean
        if comparison.over_seeds:
            row[f"{name} deviation"] = None if summary is None else summary.deviation
    return {**row, "parameters": group.parameters}


def _evaluated(metric: str) -> bool:
    return metric.startswith("validation/")


def as_objects(comparison: Comparison) -> dict[str, Any]:
    """Returns a comparison as plain objects for JSON; null stands for what is not known."""
    return {
        "differing": list(comparison.keys),
        "best_by": list(comparison.monitors),
        "groups": [
            {
                "runs": [str(run.path) for run in group.runs],
                "settings": dict(group.settings),
                "final": {name: _object(summary) for name, summary in group.final.items()},
                "best": {name: _object(summary) for name, summary in group.best.items()},
                "best_iteration": _object(group.best_iteration),
                "seconds": _object(group.seconds),
                "parameters": group.parameters,
                "unreadable": [fault for run in group.runs for fault in run.faults],
            }
            for group in comparison.groups
        ],
    }


def _object(summary: Summary | None) -> dict[str, float | int | None] | None:
    if summary is None:
        return None
    return {"mean": summary.mean, "deviation": summary.deviation, "number": summary.number}


def _text(summary: Summary | None) -> str:
    if summary is None:
        return UNKNOWN
    spread = "" if summary.deviation is None else f" ± {summary.deviation:.2g}"
    return f"{summary.mean:.6g}{spread}"


def text_of(value: Value | None) -> str:
    """Returns a setting to read; a number has six digits at most."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return UNKNOWN if value is None else str(value)


def duration(seconds: float) -> str:
    """Returns a duration such as ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def transposed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns a table with a column for what was a row."""
    return [list(column) for column in zip(*rows, strict=True)]
