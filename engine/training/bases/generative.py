"""Modules whose models draw new images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from firebox.engine.training.bases.module import Module, Picture
from firebox.foundation.plots import draw_histogram

CLASSES = "class_histogram"
"""The metric that counts the classes of drawn images, (classes,) int64."""


class Generative(Module):
    """A module whose model draws new images, which the handler sample_quality and the experiment sample ask for.

    One that draws them out of latents may have ``draw_latents`` and ``decode_latents`` as well, for the experiment
    interpolate, where ``sample`` decodes what is drawn.
    """

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draws images, the model in evaluation mode and without gradients.

        The same generator gives the same images, whatever is drawn elsewhere: all randomness comes from it, and none of
        torch's default generator.

        Args:
            count: number of images to draw at once.
            generator: generator on the CPU, so that all devices draw from the same numbers.

        Returns:
            Images in the data's pixel range, not necessarily cut to it, (count, C, H, W) float32 on the model's device.
        """

    def draw_latents(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draws what images are drawn out of, (count, ...) float32, from N(0, I).

        Args:
            count: number of latents.
            generator: generator on the CPU, from which all randomness comes.
        """
        raise NotImplementedError

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Returns the images (N, C, H, W) that are drawn out of latents (N, ...), as ``sample`` does.

        What an image depends on beside its latent, such as a class, follows from its position among the N.
        """
        raise NotImplementedError

    @property
    def has_latents(self) -> bool:
        """Whether there are latents to draw and decode."""
        return type(self).decode_latents is not Generative.decode_latents

    def evaluation_images(self, metrics: Mapping[str, Any]) -> Mapping[str, Picture]:
        """Returns the histogram of the drawn images' classes, where the handler sample_quality has counted them."""
        counts = metrics.get(CLASSES)
        if counts is None:
            return {}
        return {CLASSES: partial(draw_histogram, counts, self.specification.classes)}
