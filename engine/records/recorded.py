"""What a run or an archive has recorded of itself, for comparing and reporting. Nothing that it names is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from firebox.engine.configuration.values import Unreadable, recorded_values
from firebox.engine.records.checkpoints import valid_manifests
from firebox.engine.records.listing import NO_METRICS, is_finite, listed, parsed_row, read_record
from firebox.engine.records.monitor import Monitor, best_of, recorded_monitor
from firebox.engine.records.run_directory import NO_STATUS, RunDirectory, is_run
from firebox.engine.records.sealing import CARD, parsed
from firebox.foundation.problems import Problem, Refusal, refuse

USUAL = Monitor("validation/loss", "min")
"""What tells the best evaluation of a run whose handlers watch nothing."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ")
_PARAMETERS = re.compile(r"^parameters +([\d,]+)", re.MULTILINE)
_ODD = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metrics that were measured at an iteration, by ``split/name``."""

    iteration: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run or an archive, as its files describe it; whatever can't be read counts as unknown.

    Args:
        path: path of its directory.
        kind: whether it is a run or an archive.
        state: state of the run, as it is listed.
        reason: why it is in this state.
        iteration: last iteration of a run; that of an archive's checkpoint.
        epochs: number of finished epochs and of all epochs; None if unknown.
        values: values of its configuration.
        final: latest value of each metric, by ``split/name``; those on the card of an archive.
        monitor: what tells which evaluation is the best.
        evaluations: evaluations of a run, in the order of their iterations.
        best: the best evaluation; that of an archive's checkpoint; None if there is none.
        seconds: how long it was trained, by its log; a stretch that was killed counts to its last message.
        parameters: the model's number of parameters.
        data: SHA-256 of what it was last trained on.
        fingerprint: what that consists of, as ``data.json`` has it.
        environments: the environments that it was trained in, the first first.
        origin: directory of the run; that of an archive's run if it is still there; None if it is gone.
        faults: what could not be read.
    """

    path: Path
    kind: Literal["run", "archive"]
    state: str
    reason: str
    iteration: int
    epochs: tuple[int, int] | None
    values: Mapping[str, Any]
    final: Mapping[str, float]
    monitor: Monitor
    evaluations: Sequence[Evaluation]
    best: Evaluation | None
    seconds: float | None
    parameters: int | None
    data: str | None
    fingerprint: Mapping[str, Any]
    environments: Sequence[Mapping[str, Any]]
    origin: RunDirectory | None
    faults: Sequence[str]


def recorded(path: Path) -> Recorded:
    """Reads a run's directory or an archive.

    Raises:
        Refusal: the path is neither.
    """
    if is_run(path):
        return _run(path)
    if (path / CARD).is_file():
        return _archive(path)
    message = f"{path}: neither a run's directory nor an archive; firebox runs lists them"
    raise Refusal([Problem("", message)])


def all_recorded(paths: Sequence[Path]) -> list[Recorded]:
    """Reads several, each once.

    Raises:
        Refusal: some of the paths are neither runs nor archives; it has all of them.
    """
    found, problems = [], list[Problem]()
    for path in dict.fromkeys(paths):
        try:
            found.append(recorded(path))
        except Refusal as refusal:
            problems += refusal.problems
    refuse(problems)
    return found


def rows_of(losses: Path, splits: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of some splits in a file of losses; those that can't be read are left out."""
    marks = [b'"split": "%s"' % split.encode() for split in splits]
    try:
        if not losses.is_file():
            return
        with losses.open("rb") as file:
            for line in file:
                if any(mark in line for mark in marks) and (row := parsed_row(line)).get("split") in splits:
                    yield row
    except OSError:
        return


def _run(path: Path) -> Recorded:
    directory, run = RunDirectory(path), listed(path)
    environments = _environments(read_record(directory.environment))
    monitor = recorded_monitor(dict(run.values), directory.configuration) or USUAL
    evaluations = _evaluations(directory.losses)
    measured = [each for each in evaluations if monitor.metric in each.metrics]
    best = min(measured, key=lambda each: monitor.rank(each.metrics[monitor.metric]), default=None)
    if best is None and (kept := best_of(valid_manifests(directory.checkpoints), monitor)) is not None:
        best = Evaluation(kept.iteration, kept.metrics)
    return Recorded(
        path=path,
        kind="run",
        state=run.state,
        reason=run.reason,
        iteration=run.iteration,
        epochs=run.epochs,
        values=run.values,
        final=run.metrics,
        monitor=monitor,
        evaluations=evaluations,
        best=best,
        seconds=_seconds(environments, directory.log),
        parameters=_parameters(environments, directory.model_summary),
        data=run.data,
        fingerprint=read_record(directory.data),
        environments=environments,
        origin=directory,
        faults=_faults(directory.configuration, f"{path}: {NO_STATUS}" if run.reason == NO_STATUS else ""),
    )


def _archive(path: Path) -> Recorded:
    try:
        card, fault = parsed(path / CARD), ""
    except (OSError, ValueError) as error:
        card, fault = {}, f"{path / CARD}: can't be read: {error}"
    selection, origin = _map(card, "selection"), _map(card, "run")
    try:
        values = recorded_values(path / "config.yaml")
    except Unreadable:
        values = _map(card, "config")
    chosen = {name: value for name, value in _map(selection, "recorded_metrics").items() if is_finite(value)}
    iteration = selection.get("iteration")
    iteration = iteration if type(iteration) is int else 0
    environments = _environments(_map(_map(card, "env"), "training"))
    fingerprint = _map(_map(card, "data"), "fingerprint")
    digests = _map(fingerprint, "digests")
    state = origin.get("status")
    return Recorded(
        path=path,
        kind="archive",
        state=state if isinstance(state, str) else "unknown",
        reason=f"archived from {origin['directory']}" if isinstance(origin.get("directory"), str) else "",
        iteration=iteration,
        epochs=None,
        values=values,
        final=_card_metrics(_map(card, "metrics")),
        monitor=recorded_monitor(values, path / "config.yaml") or USUAL,
        evaluations=(),
        best=Evaluation(iteration, chosen) if chosen else None,
        seconds=None,
        parameters=_parameters(environments, path / "model_summary.txt"),
        data=next((text for key in ("content", "names") if isinstance(text := digests.get(key), str)), None),
        fingerprint=fingerprint,
        environments=environments,
        origin=_origin(path, origin.get("directory"), environments),
        faults=_faults(path / "config.yaml", fault),
    )


def _origin(archive: Path, directory: Any, environments: Sequence[Mapping[str, Any]]) -> RunDirectory | None:
    """Returns the directory of an archive's run: where it was, or beside the archive; None if it is gone."""
    if not isinstance(directory, str):
        return None
    for place in (Path(directory), archive.parent.joinpath(*Path(directory).parts[-2:])):
        if is_run(place) and _environments(read_record(place / "environment.json"))[:1] == list(environments[:1]):
            return RunDirectory(place)
    return None


def _map(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _card_metrics(splits: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{split}/{name}": entry["value"]
        for split, metrics in splits.items()
        if isinstance(metrics, dict)
        for name, entry in metrics.items()
        if isinstance(entry, dict) and is_finite(entry.get("value"))
    }


def _faults(configuration: Path, *others: str) -> list[str]:
    found = [text for text in others if text]
    try:
        recorded_values(configuration)
    except Unreadable as error:
        found.append(str(error))
    return found


def _environments(newest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    earlier = newest.get("earlier")
    found = [newest, *(earlier if isinstance(earlier, list) else ())] if newest else []
    return [each for each in reversed(found) if isinstance(each, dict)]


def _evaluations(losses: Path) -> list[Evaluation]:
    found: dict[int, dict[str, float]] = {}
    for row in rows_of(losses, ("validation", "test")):
        iteration = row.get("iteration")
        if type(iteration) is int:
            names = [name for name in row if name.partition("/")[0] not in NO_METRICS and is_finite(row[name])]
            found.setdefault(iteration, {}).update({f"{row['split']}/{name}": float(row[name]) for name in names})
    return [Evaluation(iteration, metrics) for iteration, metrics in sorted(found.items())]


def _seconds(environments: Sequence[Mapping[str, Any]], log: Path) -> float | None:
    """Returns how long a run was trained: from each of its starts to the last message before the next start."""
    if not log.is_file():  # reading a pipe would wait for its writer
        return None
    try:
        # The log is in the local time of the machine, and so is the clock that a start was read from.
        starts = [datetime.fromisoformat(each["started"]).replace(tzinfo=None) for each in environments]
        with log.open(encoding="utf-8", errors="replace") as lines:
            times = [datetime.fromisoformat(match[1]) for line in lines if (match := _TIME.match(line))]
    except (OSError, *_ODD):
        return None
    total = 0.0
    for start, end in pairwise([*starts, datetime.max]):
        total += max(((time - start).total_seconds() for time in times if start <= time < end), default=0.0)
    return total if starts else None


def _parameters(environments: Sequence[Mapping[str, Any]], summary: Path) -> int | None:
    found = environments[-1].get("parameters") if environments else None
    if type(found) is int:
        return found
    if not summary.is_file():
        return None
    try:
        match = _PARAMETERS.search(summary.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return None if match is None else int(match[1].replace(",", "") or 0)
