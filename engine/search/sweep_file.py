"""Reads the file of a sweep: a base configuration, the settings to try, and how they are chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, NonNegativeInt, PositiveInt

from firebox.engine.configuration import Configuration, plain, read
from firebox.engine.configuration.core_schema import write_inline
from firebox.engine.configuration.nodes import Node, parse_file
from firebox.engine.configuration.paths import places
from firebox.engine.configuration.sections import Section
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.configuration.validation import validate
from firebox.foundation.paths import expanded
from firebox.foundation.problems import Mark, Problem, Refusal, in_order, refuse, shown

PRUNING = "handlers.pruning"
"""The handler that prunes a trial."""
CHOSEN_BY_SWEEP = ("output", "trainer", "extends", PRUNING)
"""Keys that a space can't have."""


class Settings(Section):
    """The keys of a sweep's file."""

    config: str = Field(description="the base configuration, which names its trainer")
    space: dict[str, Any] = Field(
        description="by dotted key: a list of values, or a range {low, high, log}", min_length=1
    )
    sampler: Literal["grid", "random", "tpe"] = Field("tpe", description="how the values of a trial are chosen")
    trials: PositiveInt | None = Field(None, description="number of settings to try; null: all of a grid")
    seeds: PositiveInt = Field(1, description="runs of each setting: with the configuration's seed, and those after it")
    seed: NonNegativeInt = Field(0, description="selects what the sampler draws")
    monitor: str = Field("validation/loss", description="metric whose best value is a trial's result")
    mode: Literal["min", "max"] = Field("min", description="whether a smaller or a larger value is better")
    pruner: Literal["median", "hyperband"] | dict[str, Any] | None = Field(
        None, description="what stops poor trials early: a name, or a map of settings of the handler pruning"
    )
    folder: str | None = Field(None, description="folder of the sweep; null: sweeps/ and the name of the file")


class Range(Section):
    """Numbers between two bounds, which belong to it; whole numbers if both bounds are."""

    low: int | float = Field(description="smallest value")
    high: int | float = Field(description="largest value")
    log: bool = Field(False, description="whether the logarithm is uniform instead of the value")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Values = tuple[str, ...] | Range
"""What is tried of a key: values, each as YAML on one line, or a range."""
Assigned = Mapping[str, Any]
"""The values of a trial by dotted key: YAML on one line, or a number from a range."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as its file describes it.

    Args:
        settings: the keys of the file.
        space: values to try, by dotted key.
        config: path of the base configuration.
        folder: absolute path of the sweep's folder.
        marks: where each key of the space, each of its values, and the pruner is written.
        trainer: the base configuration's trainer.
        base: the base configuration as plain data, with paths as seen from the folder.
    """

    settings: Settings
    space: Mapping[str, Values]
    config: Path
    folder: Path
    marks: Mapping[str, Mark]
    trainer: Trainer
    base: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Number of trials, each of which is one run."""
        grid = math.prod(len(cast(tuple[str, ...], values)) for values in self.space.values()) if self.is_grid else 0
        return (self.settings.trials or grid) * self.settings.seeds

    @property
    def is_grid(self) -> bool:
        return self.settings.sampler == "grid"

    def grid(self) -> list[Assigned]:
        """Returns all settings of a grid; the last key changes fastest."""
        lists = [cast(tuple[str, ...], values) for values in self.space.values()]
        return [dict(zip(self.space, chosen, strict=True)) for chosen in product(*lists)]

    def assignments(self, assigned: Assigned, repetition: int = 0) -> list[str]:
        """Returns what a trial changes in the base configuration, as ``KEY=VALUE``.

        Args:
            assigned: the values of the trial.
            repetition: number of the run among those of the same setting, starting at 0.
        """
        chosen = [f"{key}={v if isinstance(v, str) else write_inline(v)}" for key, v in assigned.items()]
        if self.settings.seeds > 1:
            chosen.append(f"seed={int(self.base['seed']) + repetition}")
        return chosen + self._pruning() + [f"output.root={write_inline(str(self.folder / 'runs'))}"]

    def _pruning(self) -> list[str]:
        pruner = self.settings.pruner
        if pruner is None:
            return []
        own = {"pruner": pruner} if isinstance(pruner, str) else {"pruner": pruner.get("name"), **pruner}
        own.pop("name", None)
        watched = {"monitor": self.settings.monitor, "mode": self.settings.mode}
        return [f"{PRUNING}={write_inline({**own, **watched})}"]

    def configuration(self, assigned: Assigned) -> Configuration:
        """Reads the configuration of a setting; problems are where the sweep's file has the value.

        Raises:
            Refusal: it has mistakes.
        """
        try:
            return read(self.trainer.name, self.trainer.default, self.config, self.assignments(assigned))
        except Refusal as refusal:
            raise self.located(refusal, assigned) from None

    def located(self, refusal: Refusal, assigned: Assigned) -> Refusal:
        """Returns a refusal of a trial with the places in the sweep's file instead of the options that it was given."""
        places = {f"--set {key}": mark for key, mark in self.marks.items()}
        places |= {f"--set {k}": mark for k, v in assigned.items() if (mark := self.marks.get(_of_value(k, v)))}
        return Refusal(
            [Problem(p.key, p.message, places.get(p.mark.source, p.mark) if p.mark else None) for p in refusal.problems]
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What must stay the same while a sweep goes on; its number of trials may grow."""
        settings = self.settings.model_dump(exclude={"config", "folder", "trials", "space"})
        space = {key: list(v) if isinstance(v, tuple) else v.model_dump() for key, v in self.space.items()}
        return {**settings, "space": space, "config": dict(self.base)}


def parsed(path: Path) -> tuple[Node, Settings, dict[str, Values], Path]:
    """Reads the file itself: its tree, its keys, the values to try, and the path of the base configuration.

    Raises:
        Refusal: the file has mistakes; the refusal has all of them.
    """
    root = parse_file(path)
    if not root.is_map:
        raise Refusal([Problem("", f"got {shown(root.plain())}, expected a map of keys", root.mark)])
    problems: list[Problem] = []
    settings = cast(Settings | None, validate(Settings, root, "", problems))
    space = dict(_space(root, problems))
    found = [] if settings is None else list(_faults(settings, space, root))
    config = _config(root, problems)
    refuse(in_order([*problems, *found]))
    assert settings is not None and config is not None
    return root, settings, space, config


def read_sweep(path: Path, trainer: Trainer) -> Sweep:
    """Reads a sweep, and makes sure that each of its values can stand in the configuration.

    Args:
        path: path of the sweep's file.
        trainer: the trainer that the base configuration names.

    Raises:
        Refusal: the file has mistakes; the refusal has all of them.
    """
    root, settings, space, config = parsed(path)
    folder = Path("sweeps") / path.stem if settings.folder is None else Path(expanded(settings.folder))
    folder = folder.absolute()
    base = plain(read(trainer.name, trainer.default, config), folder)
    base.pop("output")
    marks = dict(_marks(root.value["space"]))
    if "pruner" in root.value:
        marks[PRUNING] = root.value["pruner"].mark
    sweep = Sweep(settings, space, config, folder, marks, trainer, base)
    problems: list[Problem] = []
    for assigned in _each_value(space):
        try:
            sweep.configuration(assigned)
        except Refusal as refusal:
            problems += refusal.problems
    refuse(in_order(problems))
    return sweep


def _marks(space: Node) -> Iterator[tuple[str, Mark]]:
    for key, node in space.value.items():
        yield key, node.mark
        for value in node.value if isinstance(node.value, list) else ():
            yield _of_value(key, write_inline(value.plain())), value.mark


def _of_value(key: str, value: Any) -> str:
    """Returns the key under which the place of a value in a list is kept."""
    return f"{key}={value}"


def _each_value(space: Mapping[str, Values]) -> Iterator[Assigned]:
    """Yields settings that together have each value of the space, and both ends of its ranges."""
    lists: dict[str, Sequence[Any]] = {k: v if isinstance(v, tuple) else (v.low, v.high) for k, v in space.items()}
    for place in range(max(len(values) for values in lists.values())):
        yield {key: values[min(place, len(values) - 1)] for key, values in lists.items()}


def _space(root: Node, problems: list[Problem]) -> Iterator[tuple[str, Values]]:
    node = root.value.get("space")
    for key, values in node.value.items() if node is not None and node.is_map else ():
        dotted = f"space.{key}"
        if any(key == taken or key.startswith(f"{taken}.") for taken in CHOSEN_BY_SWEEP):
            problems.append(
                Problem(dotted, "is chosen by the sweep itself; expected a setting to try", values.key_mark)
            )
        elif isinstance(values.value, list) and values.value:
            yield key, tuple(dict.fromkeys(write_inline(value) for value in values.plain()))
        elif values.is_map:
            limits = cast(Range | None, validate(Range, values, dotted, problems))
            if limits is not None and (fault := _fault(limits)):
                problems.append(Problem(dotted, fault, values.mark))
            elif limits is not None:
                yield key, limits
        else:
            given = shown(values.plain())
            expected = "a list of values, or a range such as {low: 0.0001, high: 0.01, log: true}"
            problems.append(Problem(dotted, f"got {given}, expected {expected}", values.mark))


def _fault(limits: Range) -> str | None:
    if limits.low >= limits.high:
        return f"got low {limits.low} and high {limits.high}, expected low below high"
    if limits.log and limits.low <= 0:
        return f"got low {limits.low} with log, expected a positive number"
    return None


def _faults(settings: Settings, space: Mapping[str, Values], root: Node) -> Iterator[Problem]:
    """Yields problems of keys that are right in themselves and don't go together."""
    ranges = [key for key, values in space.items() if isinstance(values, Range)]
    if settings.sampler == "grid":
        for key in ranges:
            mark = root.find("space", key).mark
            yield Problem(f"space.{key}", "got a range, expected a list of values for a grid", mark)
        if settings.trials is not None:
            mark = root.find("trials").mark
            yield Problem("trials", f"got {settings.trials}, expected nothing: a grid has all its settings tried", mark)
    elif settings.trials is None:
        yield Problem("trials", f"missing; expected the number of settings that {settings.sampler} tries", root.mark)
    if "seed" in space and settings.seeds > 1:
        yield Problem("space.seed", "given beside seeds; expected one of the two", root.find("space", "seed").key_mark)


def _config(root: Node, problems: list[Problem]) -> Path | None:
    """Returns the path of the base configuration; one that comes with Firebox is named as everywhere."""
    node = root.value.get("config")
    if node is None or not isinstance(node.value, str):
        return None
    try:
        found = places(node.value, node.mark)
    except ValueError as error:
        problems.append(Problem("config", f"got {shown(node.value)}: {error}", node.mark))
        return None
    return next((place for place in found if place.is_file()), Path(node.value))
