"""The listing of runs, read from their files without importing what they name, whatever the files contain."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from firebox.data.bases.datamodule import Split
from firebox.engine.configuration.values import Unreadable, recorded_values
from firebox.engine.records.checkpoints import Manifest, valid_manifests
from firebox.engine.records.monitor import best_of, recorded_monitor
from firebox.engine.records.run_directory import NO_STATUS, RunDirectory, State, distinct, is_run

LAST_LINES = 1 << 16
"""Size in bytes of the end of losses.jsonl that is searched for the last lines."""
LARGEST_RECORD = 1 << 24
"""Largest size in bytes of a JSON file that is read; a resumed run's environment.json grows with each start."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in the listing.

    Args:
        path: path of its directory.
        state: state in its status; ``killed`` if the status is running but no process has locked the directory.
        reason: why it is in this state.
        iteration: last iteration in its status or its losses.
        epochs: number of finished epochs and of all epochs; None if unknown.
        metrics: latest finite value of each loss and metric, by ``split/name``.
        best: name of the monitored metric and its best value at a kept checkpoint; None if none was measured.
        changed: time of the last change of its status, in seconds since 1970.
        values: values of its configuration; empty if that can't be read.
        data: SHA-256 of what it was last trained on; None if that is unknown.
    """

    path: Path
    state: str
    reason: str
    iteration: int
    epochs: tuple[int, int] | None
    metrics: Mapping[str, float]
    best: tuple[str, float] | None
    changed: float
    values: Mapping[str, Any]
    data: str | None


def runs_in(root: Path) -> list[Listed]:
    """Returns the runs below ``root``, ordered by the last change of their status."""
    paths = distinct(path.parent for path in root.glob("*/*/*/status.json") if is_run(path.parent))
    return sorted(map(listed, paths), key=lambda run: run.changed)


def listed(path: Path) -> Listed:
    """Reads a run for the listing; whatever can't be read counts as unknown."""
    directory = RunDirectory(path)
    status = read_record(path / "status.json")
    reason = status.get("reason")
    state = next((known for known in get_args(State) if known == status.get("status")), None)
    if state is None:
        state, reason = "running", NO_STATUS
    if state == "running" and not directory.in_use():
        state = "killed"
    rows = _last_rows(directory.losses)
    iteration = max([_whole(status.get("iteration")), *(_whole(row.get("iteration")) for row in rows)])
    try:
        values = recorded_values(directory.configuration, shared=True)
    except Unreadable:
        values = {}
    manifests = valid_manifests(directory.checkpoints)
    return Listed(
        path=path,
        state=state,
        reason=reason if isinstance(reason, str) else "",
        iteration=iteration,
        epochs=_epochs(directory, values, iteration),
        metrics=_metrics(manifests, rows),
        best=_best(directory, values, manifests),
        changed=_changed(path / "status.json"),
        values=values,
        data=_data(manifests),
    )


def _changed(status: Path) -> float:
    try:
        return status.stat().st_mtime
    except OSError:  # the run was removed while it was read
        return 0.0


def _data(manifests: list[Manifest]) -> str | None:
    digests = manifests[-1].data if manifests else None
    return None if digests is None else digests.get("content") or digests.get("names")


def _epochs(directory: RunDirectory, values: dict[str, Any], iteration: int) -> tuple[int, int] | None:
    training = values.get("training")
    total = _whole(training.get("epochs")) if isinstance(training, dict) else 0
    length = _whole(read_record(directory.environment).get("epoch_length"))
    return (iteration // length, total) if length and total else None


NO_METRICS = ("iteration", "epoch", "split", "learning_rate")
"""What a row of losses.jsonl has beside losses and metrics; there may be several learning rates, each with a name."""


def _best(directory: RunDirectory, values: dict[str, Any], manifests: list[Manifest]) -> tuple[str, float] | None:
    monitor = recorded_monitor(values, directory.configuration)
    best = None if monitor is None else best_of(manifests, monitor)
    return None if monitor is None or best is None else (monitor.metric, best.metrics[monitor.metric])


def _metrics(manifests: list[Manifest], rows: list[dict[str, Any]]) -> dict[str, float]:
    found = {name: value for manifest in manifests[-1:] for name, value in manifest.metrics.items() if is_finite(value)}
    for row in rows:
        if isinstance(split := row.get("split"), str):
            names = {name for name in row if name.partition("/")[0] not in NO_METRICS}
            found |= {f"{split}/{name}": float(row[name]) for name in sorted(names) if is_finite(row[name])}
    return found


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the last whole line of each split in losses.jsonl."""
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - LAST_LINES)
            file.seek(start)
            text = file.read()
    except OSError:
        return []
    text = text[: text.rfind(b"\n") + 1]
    rows = []
    for split in get_args(Split):
        place = text.rfind(b'"split": "%s"' % split.encode())
        begin = text.rfind(b"\n", 0, max(place, 0)) + 1
        if place >= 0 and (begin or not start):
            rows.append(parsed_row(text[begin : text.find(b"\n", place)]))
    return rows


def parsed_row(text: bytes) -> dict[str, Any]:
    """Returns the object that a line of JSON holds; an empty one if it holds none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_record(path: Path) -> dict[str, Any]:
    """Returns the object that a JSON file holds; an empty one if it can't be read or is too large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_RECORD:
            return {}
        return parsed_row(path.read_bytes())
    except OSError:
        return {}


def _whole(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def is_finite(value: Any) -> bool:
    """Whether a value of a record is a finite number."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )
