"""Guards for random augmentation: it must work on the data's images and keep their shape."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, in_one_line, shown


class Augmentations(Guard):
    """Refuses augmentations that do not exist, can't take the images or move their targets, or change their shape."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        entries = data.loading.augmentations
        if not entries or preflight.assembled:
            return
        wrong = False
        for position, entry in enumerate(entries):
            if not is_augmentation(entry):
                wrong = True
                message = f"got {shown(entry)}, expected a name, or a name with a map of parameters"
                yield preflight.problem(message, data.kind, "augmentations", str(position))
        if wrong:
            return
        from firebox.engine.training.factory import build_augmentation

        for position, entry in enumerate(entries):
            try:
                # Augmentations are tried one at a time, so that every mistake is found.
                one = build_augmentation(data.loading.model_copy(update={"augmentations": [entry]}))
                if one is not None:
                    one.check(preflight.specification.shape, preflight.specification.target)
            except ValueError as error:
                yield preflight.problem(in_one_line(error), data.kind, "augmentations", str(position))


class NoiseInTarget(Guard):
    """Refuses noise among the augmentations where the module adds its own to images that it takes for clean."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if not preflight.run.module.adds_noise:
            return
        data, module = preflight.configuration.data, preflight.configuration.module
        for position, entry in enumerate(data.loading.augmentations):
            name = next(iter(entry)) if isinstance(entry, dict) and entry else entry
            if isinstance(name, str) and name.endswith("_noise"):
                why = f"which is in the images that the module {module.component.short_name} takes for clean, too"
                way_out = "leave it out: module.sigma is the noise" if "sigma" in module.parameters else "leave it out"
                yield preflight.problem(f"got {name}, {why}; {way_out}", data.kind, "augmentations", str(position))


def is_augmentation(entry: object) -> bool:
    """Whether an entry is a name, or a map from one name to parameters."""
    if isinstance(entry, dict):
        return len(entry) == 1 and all(value is None or isinstance(value, dict) for value in entry.values())
    return isinstance(entry, str)
