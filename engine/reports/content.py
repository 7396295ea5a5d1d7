"""What a page shows of a run, beside its curves and pictures: texts and tables, read from its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from firebox.engine.configuration.core_schema import write
from firebox.engine.records.comparison_tables import UNKNOWN, duration, text_of
from firebox.engine.records.recorded import Recorded
from firebox.engine.records.results import results_table

Facts = list[tuple[str, str]]
"""Names and values to read."""
Table = list[list[str]]
"""Rows of texts, the first of which is the header."""

LONGEST_TEXT = 1 << 18
"""Number of characters that are shown of a text file."""
MOST_WARNINGS = 200
KEPT = ("device", "device_name", "threads", "platform", "python", "commit")
"""What of an environment stays from one start of a run to the next, beside the versions of packages."""
MOST_CLASSES = 100
_LEVEL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) ")


@dataclass(frozen=True, slots=True)
class Content:
    """What a page shows of a run.

    Args:
        name: its name, as short as is clear.
        title: what was trained on what.
        record: the run or archive.
        facts: what was trained on what, how long and how.
        results: its metrics by split.
        configuration: its configuration as YAML.
        environment: what it was last trained in.
        data: what it was trained on.
        classes: numbers of samples of each class.
        resumptions: each of its starts.
        guards: names of the guards that it passed.
        warnings: the warnings and errors in its log, the last ones.
        more_warnings: number of warnings that came before those.
        summary: its model, layer by layer.
    """

    name: str
    title: str
    record: Recorded
    facts: Facts
    results: Table
    configuration: str
    environment: Facts
    data: Facts
    classes: Table
    resumptions: Table
    guards: Sequence[str]
    warnings: Sequence[str]
    more_warnings: int
    summary: str


def content_of(record: Recorded, name: str) -> Content:
    """Reads what a page shows of a run or an archive."""
    warnings = [] if record.origin is None else _warnings(record.origin.log)
    model, data = _named(record.values, "model"), _data_name(record.values)
    return Content(
        name=name,
        title=f"{model} on {data}",
        record=record,
        facts=_facts(record),
        results=_results(record),
        configuration=write(dict(record.values)) if record.values else "",
        environment=_environment(record.environments[-1]) if record.environments else [],
        data=_data(record),
        classes=_classes(record.fingerprint),
        resumptions=_starts(record.environments),
        guards=sorted(import_module("firebox.handlers.guards").CATALOGUE),
        warnings=warnings[-MOST_WARNINGS:],
        more_warnings=max(0, len(warnings) - MOST_WARNINGS),
        summary=_text(record.path / "model_summary.txt"),
    )


def _facts(record: Recorded) -> Facts:
    values, environment = record.values, record.environments[-1] if record.environments else {}
    parameters = "" if record.parameters is None else f", {record.parameters:,} parameters"
    splits = _splits(record.fingerprint)
    counts = ", ".join(f"{split} {samples:,}" for split, samples in splits.items())
    best = record.best
    found = [
        ("status", f"{record.state}: {record.reason}" if record.reason else record.state),
        ("model", f"{_named(values, 'model')}{parameters}"),
        ("data", f"{_data_name(values)}{f': {counts} samples' if counts else ''}"),
        ("training", ", ".join(filter(None, [_named(values, "module"), _setting(values, "module", "loss")]))),
        ("optimizer", " ".join(filter(None, [_named(values, "optimizer"), _rate(values)]))),
        ("length", _length(record)),
        ("time", UNKNOWN if record.seconds is None else duration(record.seconds)),
        ("device", " ".join(str(environment.get(key, "")) for key in ("device", "device_name")).strip()),
        ("seed", _setting(values, "seed")),
    ]
    if best is not None and record.monitor.metric in best.metrics:
        value = best.metrics[record.monitor.metric]
        found.append(("best", f"{record.monitor.metric} {value:.6g} at iteration {best.iteration:,}"))
    return [(name, value) for name, value in found if value]


def _rate(values: Mapping[str, Any]) -> str:
    rate = _setting(values, "optimizer", "lr")
    return f"lr {rate}" if rate else ""


def _length(record: Recorded) -> str:
    if record.epochs is None:
        return f"iteration {record.iteration:,}"
    done, total = record.epochs
    return f"{done} of {total} epochs, {record.iteration:,} iterations"


def _setting(values: Mapping[str, Any], *keys: str) -> str:
    value: Any = values
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = value.get("name")
    return "" if value is None else text_of(value) if isinstance(value, int | float | str) else str(value)


def _named(values: Mapping[str, Any], section: str) -> str:
    return _setting(values, section, "name") or "?"


def _data_name(values: Mapping[str, Any]) -> str:
    return next((name for key in ("datamodule", "datagenerator") if (name := _setting(values, key, "name"))), "?")


def _results(record: Recorded) -> Table:
    header, *rows = results_table({name: value for name, value in record.final.items() if "/" in name})
    best = {} if record.best is None else record.best.metrics
    if best and record.kind == "run":
        header = [*header, "best validation"]
        rows = [[*row, _number(best.get(f"validation/{row[0]}"))] for row in rows]
    return [header, *rows]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _environment(environment: Mapping[str, Any]) -> Facts:
    shown = {key: value for key, value in environment.items() if key not in ("earlier", "packages", "command_line")}
    command = environment.get("command_line")
    packages = environment.get("packages")
    found = [(str(key), str(value)) for key, value in shown.items() if value not in (None, "")]
    if isinstance(command, list):
        found.append(("command line", " ".join(map(str, command))))
    if isinstance(packages, dict):
        found += [(str(name), str(version)) for name, version in packages.items() if version]
    return found


def _splits(fingerprint: Mapping[str, Any]) -> dict[str, int]:
    splits = fingerprint.get("splits")
    entries = splits.items() if isinstance(splits, dict) else ()
    return {
        str(split): entry["samples"]
        for split, entry in entries
        if isinstance(entry, dict) and type(entry.get("samples")) is int
    }


def _data(record: Recorded) -> Facts:
    fingerprint = record.fingerprint
    digests, skipped = fingerprint.get("digests"), fingerprint.get("skipped")
    found = [(f"{split} samples", f"{samples:,}") for split, samples in _splits(fingerprint).items()]
    if isinstance(skipped, list):
        found.append(("skipped files", f"{len(skipped):,}"))
    if isinstance(digests, dict):
        found += [(f"SHA-256 of {key}", value) for key, value in digests.items() if isinstance(value, str)]
    elif record.data is not None:
        found.append(("SHA-256", record.data))
    return found


def _classes(fingerprint: Mapping[str, Any]) -> Table:
    splits, names = fingerprint.get("splits"), fingerprint.get("classes")
    if not isinstance(splits, dict) or not isinstance(names, list) or not names:
        return []
    counts = {
        str(split): entry["classes"]
        for split, entry in splits.items()
        if isinstance(entry, dict) and isinstance(entry.get("classes"), dict)
    }
    rows = [[str(name), *(str(each.get(str(name), 0)) for each in counts.values())] for name in names[:MOST_CLASSES]]
    return [["class", *counts], *rows] if counts else []


def _starts(environments: Sequence[Mapping[str, Any]]) -> Table:
    rows = [["started", "from iteration", "device", "changed since the start before"]]
    for before, now in pairwise([None, *environments]):
        assert now is not None
        row = [str(now.get(key, UNKNOWN)) for key in ("started", "resumed_at", "device")]
        rows.append([*row, "" if before is None else _changes(before, now)])
    return rows


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    def settled(environment: Mapping[str, Any]) -> dict[str, Any]:
        packages = environment.get("packages")
        kept = {key: environment.get(key) for key in KEPT}
        return {**kept, **(packages if isinstance(packages, dict) else {})}

    then, here = settled(before), settled(now)
    changed = [f"{key}: {then.get(key)} → {here[key]}" for key in here if then.get(key) != here[key]]
    return ", ".join(changed) or "nothing"


def _warnings(log: Path) -> list[str]:
    """Returns the records of a log that are warnings or errors, each with its further lines."""
    found: list[str] = []
    inside = False
    for line in _text(log, whole=True).splitlines():
        match = _LEVEL.match(line)
        if match:
            inside = match[1] in ("WARNING", "ERROR", "CRITICAL")
            found += [line] if inside else []
        elif inside:
            found[-1] += f"\n{line}"
    return found


def _text(path: Path, *, whole: bool = False) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(None if whole else LONGEST_TEXT)
    except OSError:
        return ""
