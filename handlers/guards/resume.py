"""The checkpoint that a run is resumed from."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem


class ResumedModel(Guard):
    """Refuses a checkpoint of another model."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.resumed is None:
            return
        from firebox.engine.records import checkpoints

        path, _ = checkpoints.newest_valid(preflight.resumed.checkpoints)
        if path is None:
            return
        saved = {name: tuple(tensor.shape) for name, tensor in checkpoints.load(path, "meta")["model"].items()}
        built = {name: tuple(tensor.shape) for name, tensor in preflight.run.model.state_dict().items()}
        if saved == built:
            return
        differing = sorted(name for name in saved.keys() | built.keys() if saved.get(name) != built.get(name))
        first = differing[0]
        message = (
            f"{path} is of another model: {first} is {saved.get(first, 'absent')} there, {built.get(first, 'absent')} "
        )
        message += (
            f"here ({len(differing)} of {len(saved.keys() | built.keys())} differ); expected the run's own checkpoint"
        )
        yield preflight.problem(message, "model", "name")
