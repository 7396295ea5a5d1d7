"""The checkpoint that a run is resumed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem


class ResumedModel(Guard):
    """Refuses a checkpoint of another model."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.resumed is None:
            return
        from firebox.engine.records import checkpoints

        differing: str | None = None
        folder = preflight.resumed.checkpoints
        for path in [checkpoints.path_of(folder, number) for number in reversed(checkpoints.iterations_in(folder))]:
            try:
                saved = _shapes(checkpoints.load(path, "meta")["model"])
            except (checkpoints.DamagedCheckpoint, KeyError, AttributeError):
                continue  # an earlier one is used, or the run is refused when it is loaded
            found = _difference(saved, _shapes(preflight.run.model.state_dict()))
            if found is None:
                return
            differing = differing or f"{path} is of another model: {found}; expected the run's own checkpoint"
        if differing is not None:
            yield preflight.problem(differing, "model", "name")


def _shapes(state: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes of a model's tensors by name; of what is no tensor, its type."""
    return {name: tuple(value.shape) if hasattr(value, "shape") else "no tensor" for name, value in state.items()}


def _difference(saved: Mapping[str, Any], built: Mapping[str, Any]) -> str | None:
    names = saved.keys() | built.keys()
    differing = sorted(name for name in names if saved.get(name) != built.get(name))
    if not differing:
        return None
    first = differing[0]
    return (
        f"{first} is {saved.get(first, 'absent')} there, {built.get(first, 'absent')} here "
        f"({len(differing)} of {len(names)} differ)"
    )
