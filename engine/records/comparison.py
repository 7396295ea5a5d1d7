"""Runs compared: the settings in which they differ, and their results, summed up over seeds."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from firebox.engine.configuration.plain_values import Value
from firebox.engine.records.flat_runs import settings_of
from firebox.engine.records.recorded import Recorded

SEED, DATA, STATUS, KIND = "seed", "data", "status", "kind"
SHOWN_DIGITS = 12
"""Number of digits shown of the SHA-256 of data."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A number over the runs of a group.

    Args:
        mean: mean of the runs that have it.
        deviation: their standard deviation with n - 1 in the denominator; None of a single run.
        number: number of the runs that have it.
    """

    mean: float
    deviation: float | None
    number: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Summary | None:
        """Returns the summary of the values that are there; None if none is."""
        present = [float(value) for value in values if value is not None]
        if not present:
            return None
        deviation = statistics.stdev(present) if len(present) > 1 else None
        return cls(statistics.fmean(present), deviation, len(present))


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in their seed alone.

    Args:
        runs: the runs, in the order given.
        names: their names, as short as is clear.
        settings: the settings in which the groups differ, the seeds among them; None where a run lacks one.
        final: latest value of each metric.
        best: value of each metric at each run's best evaluation.
        best_iteration: iteration of that evaluation.
        seconds: how long they were trained.
        parameters: number of parameters of their model; None if unknown.
    """

    runs: Sequence[Recorded]
    names: Sequence[str]
    settings: Mapping[str, Value | None]
    final: Mapping[str, Summary]
    best: Mapping[str, Summary]
    best_iteration: Summary | None
    seconds: Summary | None
    parameters: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs compared with each other.

    Args:
        keys: settings in which at least two runs differ.
        metrics: metrics that any of them has.
        monitors: what tells which evaluation is a run's best, such as ``validation/loss``; several if they differ.
        groups: the runs, those together that differ in their seed alone.
    """

    keys: Sequence[str]
    metrics: Sequence[str]
    monitors: Sequence[str]
    groups: Sequence[Group]

    @property
    def over_seeds(self) -> bool:
        """Whether any group has several runs."""
        return any(len(group.runs) > 1 for group in self.groups)


def compare(runs: Sequence[Recorded]) -> Comparison:
    """Compares runs and archives; where the output goes is no difference.

    Runs of equal settings and data are one group if each has another seed. A run that repeats the seed of another says
    nothing about the spread, and begins a group of its own.
    """
    settings = [_settings(run) for run in runs]
    # A run whose configuration can't be read does not make every setting of the others one in which they differ.
    readable = [bool(run.values) for run in runs]
    said = list(zip(settings, readable, strict=True))
    all_keys = dict.fromkeys(key for each in settings for key in each)
    keys = [key for key in all_keys if len({repr(each.get(key)) for each, whole in said if whole or key in each}) > 1]
    names = short_names([run.path for run in runs])
    members: dict[tuple[str, ...], list[int]] = {}
    repeated: dict[tuple[str, ...], int] = {}
    for number, each in enumerate(settings):
        alike = (str(readable[number]), *(repr(each.get(key)) for key in keys if key != SEED))
        with_seed = (*alike, repr(each.get(SEED)))
        repeated[with_seed] = repeated.get(with_seed, 0) + 1
        members.setdefault((*alike, str(repeated[with_seed])), []).append(number)
    metrics = dict.fromkeys(name for run in runs for name in (*run.final, *(run.best.metrics if run.best else ())))
    return Comparison(
        keys=keys,
        metrics=sorted(metrics, key=_place),
        monitors=list(dict.fromkeys(run.monitor.metric for run in runs)),
        groups=[
            _group([runs[n] for n in group], [names[n] for n in group], [settings[n] for n in group], keys)
            for group in members.values()
        ],
    )


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the part of each path in which it differs from the others."""
    whole = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100, a link keeps its own name
    common = os.path.commonpath([path.parent for path in whole])
    return [str(path.relative_to(common)) for path in whole]


def _settings(run: Recorded) -> dict[str, Value]:
    """Returns what a run can differ in: its settings, its data, and how far it came."""
    data = {} if run.data is None else {DATA: run.data[:SHOWN_DIGITS]}
    return {**settings_of(run.values), **data, STATUS: run.state, KIND: run.kind}


def _place(metric: str) -> int:
    """Returns the sort key of a metric: validation before test, then whatever else there is."""
    order = ("validation", "test", "train")
    split = metric.partition("/")[0]
    return order.index(split) if split in order else len(order)


def _group(runs: list[Recorded], names: list[str], settings: list[dict[str, Value]], keys: Sequence[str]) -> Group:
    shared: dict[str, Value | None] = {key: settings[0].get(key) for key in keys}
    if SEED in shared and len(runs) > 1:
        shared[SEED] = ", ".join(str(each.get(SEED)) for each in settings)
    return Group(
        runs=runs,
        names=names,
        settings=shared,
        final=_summaries(runs, lambda run: run.final),
        best=_summaries(runs, lambda run: run.best.metrics if run.best else {}),
        best_iteration=Summary.of(run.best.iteration if run.best else None for run in runs),
        seconds=Summary.of(run.seconds for run in runs),
        parameters=next((run.parameters for run in runs if run.parameters is not None), None),
    )


def _summaries(runs: list[Recorded], metrics: Callable[[Recorded], Mapping[str, float]]) -> dict[str, Summary]:
    names = dict.fromkeys(name for run in runs for name in metrics(run))
    found = {name: Summary.of(metrics(run).get(name) for run in runs) for name in names}
    return {name: summary for name, summary in found.items() if summary is not None}
