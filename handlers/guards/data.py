"""Guards for the data: its files exist, and it has the splits that the run uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from firebox.data.bases.datamodule import Split
from firebox.data.declarations.targets import Classes, Values
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, setting, suggestion


class DataFiles(Guard):
    """Refuses data whose files are not there."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:
            return
        text = preflight.missing
        if text is not None:
            yield preflight.problem(text, preflight.configuration.data.kind, "name")


class Placement(Guard):
    """Refuses to hold samples that are drawn anew each epoch."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        if data.kind == "datagenerator" and data.loading.placement in ("memory", "device"):
            message = f"got {data.loading.placement}, but {data.named.written} draws new samples each epoch"
            yield preflight.problem(f"{message}; expected auto or stream", data.kind, "placement")


class Limit(Guard):
    """Refuses to limit the samples to fewer than there are classes."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data, target = preflight.configuration.data, preflight.specification.target
        limit = data.loading.limit
        if limit is not None and isinstance(target, Classes) and limit < len(target.names):
            count = len(target.names)
            message = f"got {limit}, but {data.named.written} has {count} classes; expected at least one sample of each"
            yield preflight.problem(f"{message}: {setting(f'{data.kind}.limit', str(count))}", data.kind, "limit")


class Sampling(Guard):
    """Refuses to balance classes that there are none of, or that are drawn with the samples."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        if data.loading.sampling != "balanced":
            return
        target = preflight.specification.target
        if data.kind == "datagenerator":
            message = (
                f"got balanced, but {data.named.written} draws new samples each epoch, and their classes with them"
            )
            yield preflight.problem(f"{message}; expected shuffled", data.kind, "sampling")
        elif not isinstance(target, Classes):
            what = "no target" if target is None else target.described
            message = f"got balanced, but a sample of {data.named.written} has {what}"
            way_out = "expected shuffled, or data whose samples have one class each"
            yield preflight.problem(f"{message}; {way_out}", data.kind, "sampling")


class TargetScale(Guard):
    """Refuses to standardise targets that are no values, or that are drawn with the samples."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        if data.loading.target_scale == "given":
            return
        target = preflight.specification.target
        if data.kind == "datagenerator":
            message = f"got standardised, but {data.named.written} draws new samples each epoch"
            yield preflight.problem(f"{message}; expected given", data.kind, "target_scale")
        elif not isinstance(target, Values):
            what = "no target" if target is None else target.described
            message = f"got standardised, but a sample of {data.named.written} has {what}"
            yield preflight.problem(f"{message}; expected given, or values to regress", data.kind, "target_scale")


class Splits(Guard):
    """Refuses data without a training split of a known length, and handlers that name a split that is not there."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        lengths = preflight.split_lengths
        for split, length in lengths.items():
            if not isinstance(length, int) or length < 0:
                message = f"its {split} split has the length {length}, expected a number of samples"
                yield preflight.problem(message, data.kind, "name")
        if lengths.get("train") in (None, 0):
            message = "has no samples to train on; expected split_lengths to give train a length of 1 or more"
            yield preflight.problem(message, data.kind, "name")
        present = [split for split in get_args(Split) if lengths.get(split)]
        for named in preflight.configuration.handlers:
            for key, value in named.parameters.items():
                named_splits = value if key == "splits" else (value,) if key == "split" else ()
                for split in named_splits if isinstance(named_splits, list | tuple) else ():
                    if split not in present:
                        message = f"got {split}, but {data.named.written} has no such split"
                        message += f"; {suggestion(str(split), present)}"
                        yield preflight.problem(message, "handlers", named.written, key)
