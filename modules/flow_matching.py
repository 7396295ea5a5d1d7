"""Training of a network to follow straight lines from noise to images."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from firebox.data.declarations.specification import ImageSpecification
from firebox.modules.diffusion import Diffusion
from firebox.modules.noise_levels import Levels, Velocity


class FlowMatching(Diffusion):
    """Trains a network to predict the velocity x - epsilon at (1 - t) epsilon + t x, with the time t uniform in [0, 1).

    Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023, with straight lines as Liu, Gong and Liu, "Flow
    Straight and Fast", ICLR 2023, have them. Time 0 is noise, 1 the image x. The loss is averaged over pixels and
    images.

    Args:
        sampler: euler; heun, which calls the network twice in every step but the last; or ddim, which is euler.
        sampling_steps: steps from noise to image.
        label_dropout: fraction of the labels that training leaves out, so that the network learns to do without, in
            [0, 1); without a meaning where the data has no classes.
        guidance_scale: how far a prediction for a class is moved away from one for none: 1 for not at all, 0 for
            drawing without classes.

    Raises:
        ValueError: there is guidance, but no label is left out or there are no classes.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        sampler: Literal["euler", "heun", "ddim"] = "heun",
        sampling_steps: PositiveInt = 10,
        label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        guidance_scale: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(
            model,
            specification,
            Velocity(),
            sampler=sampler,
            sampling_steps=sampling_steps,
            label_dropout=label_dropout,
            guidance_scale=guidance_scale,
        )

    def levels(self, times: Tensor) -> Levels:
        return Levels(times, times, 1 - times)

    def path(self, steps: int) -> Levels:
        return self.levels(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
