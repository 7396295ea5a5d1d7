"""Guards for numbers that tensors must hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.configuration import Named
from firebox.foundation.problems import Problem

LARGEST, SMALLEST = 3.4e38, 1.2e-38
"""The largest float32, and the smallest one of full precision."""


class Float32(Guard):
    """Refuses numbers that float32 can't hold."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        data = configuration.data.kind
        parts = {key: named.parameters for key, named in configuration.components.items() if key != data}
        parts["training"] = {"gradient_clip_norm": configuration.training.gradient_clip_norm}
        for part in configuration.optimizer_parts.values():
            parts[part.key] = {**part.named.parameters, "gradient_clip_norm": part.gradient_clip_norm}
            parts |= {group.key: dict(group.settings) for group in part.groups}
        parts |= {group.key: dict(group.settings) for group in configuration.optimizer_groups}
        for section, parameters in parts.items():
            for path, value in settings(parameters, *section.split(".")):
                if any(not SMALLEST <= abs(number) <= LARGEST for number in floats(value)):
                    message = (
                        f"got {value}, expected 0 or a number between {SMALLEST} and {LARGEST}, as float32 has them"
                    )
                    yield preflight.problem(message, *path)


def settings(parameters: Mapping[str, object], *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yields the keys and the value of every setting, including those of components that settings name."""
    for key, value in parameters.items():
        if isinstance(value, Named):
            yield from settings(value.parameters, *path, key)
        else:
            yield (*path, key), value


def floats(value: object) -> Iterator[float]:
    """Yields the nonzero floats in a value or in nested lists."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from floats(item)
    elif isinstance(value, float) and value:
        yield value
