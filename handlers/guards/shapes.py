"""Guards for the shapes of a model's input, output and latent."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.training.bases.module import Module, OutputKind
from firebox.foundation.problems import Problem

logger = logging.getLogger("firebox")


class OutputShape(Guard):
    """Refuses an output that has not the shape of the images, or not an entry for each class, label or value."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        kind, output = preflight.run.module.output_kind, preflight.output
        if kind in (None, "scores"):  # a critic scores an image, or each of its regions
            return
        data = preflight.configuration.data
        expected, what = _expected(kind, preflight.run.module)
        if output.shape[1:] == expected:
            return
        message = f"its output has shape {output.shape[1:]}, expected {expected}: {what} of {data.named.written}"
        choice = "class" if len(expected) == 1 else "pixels"
        setting = preflight.configuration.model.parameters.get("output")
        if setting in ("class", "pixels") and setting != choice:
            message += f"; --set model.output={choice}"
        yield preflight.problem(message, "model", "name")


def _expected(kind: OutputKind, module: Module) -> tuple[tuple[int, ...], str]:
    """Returns the shape that an output of a kind must have for each sample, and what it stands for."""
    if kind in ("pixels", "pixel_logits", "noise"):
        return module.goal.shape, "the shape of the images"
    target = module.specification.target
    outputs = 0 if target is None else target.outputs
    if kind == "mask_logits":
        return (outputs, *module.specification.shape[1:]), "a logit for each class and pixel"
    each = {"class_logits": "a logit for each class", "label_logits": "a logit for each label"}
    return (outputs,), each.get(kind, "a number for each value")


class LatentDim(Guard):
    """Warns of a latent that is larger than an image."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        latent_dim = preflight.configuration.model.parameters.get("latent_dim")
        values = math.prod(preflight.specification.shape)
        if isinstance(latent_dim, int) and latent_dim > values and not preflight.assembled:
            logger.warning(
                "model.latent_dim: %d is larger than an image's %d values: it compresses nothing", latent_dim, values
            )
        yield from ()
