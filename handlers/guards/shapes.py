"""Guards for the shapes of a model's input, output and latent."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, setting
from firebox.handlers.image_dump import ImageDump

logger = logging.getLogger("firebox")


class OutputShape(Guard):
    """Refuses an output whose shape is not the images', or whose length is not the number of classes."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        kind, output = preflight.run.module.output_kind, preflight.output
        if kind is None:
            return
        specification, data = preflight.specification, preflight.configuration.data
        expected = (len(specification.classes),) if kind == "class_logits" else specification.shape
        if output.shape[1:] == expected:
            return
        what = "a logit for each class" if kind == "class_logits" else "the shape of the images"
        message = f"its output has shape {output.shape[1:]}, expected {expected}: {what} of {data.named.written}"
        yield preflight.problem(message, "model", "name")


class ShownChannels(Guard):
    """Refuses images that can't be shown, where a handler is to show them."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        channels = preflight.specification.shape[0]
        if channels in (1, 3):
            return
        for attached in preflight.handlers_of(ImageDump):
            message = f"can't write images of {channels} channels as PNG, expected 1 or 3; leave it out: "
            yield preflight.problem(message + setting(".".join(attached.path), "false"), *attached.path)


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
