"""Training of a network to take away the noise of a discrete diffusion."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from firebox.data.declarations.specification import ImageSpecification
from firebox.modules.diffusion import Diffusion
from firebox.modules.noise_levels import Epsilon, Levels, V, alpha_bars

LARGEST_LAST = 0.01
"""The largest squared factor of the image that may be left at the last timestep, of which sampling takes it to be 0."""


class DDPM(Diffusion):
    """Trains a network to predict the noise epsilon, or v, of images at one of many timesteps, each as likely.

    Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020. At timestep k of T, which the network
    is told as the time k / T, an image x is sqrt(a) x + sqrt(1 - a) epsilon, a falling from nearly 1 to nearly 0. The
    loss is averaged over pixels and images, without weights.

    Args:
        prediction: epsilon, or v = sqrt(a) epsilon - sqrt(1 - a) x (Salimans and Ho, "Progressive Distillation for Fast
            Sampling of Diffusion Models", ICLR 2022).
        schedule: linear, that of Ho, Jain and Abbeel; or cosine (Nichol and Dhariwal, "Improved Denoising Diffusion
            Probabilistic Models", ICML 2021).
        timesteps: number T of timesteps.
        zero_terminal_snr: whether the schedule is changed so that nothing is left of the image at the last timestep
            (Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024).
        sampler: ddim; euler, which is the same; or heun, which calls the network twice in every step but the last.
        sampling_steps: steps from noise to image, at most T.
        label_dropout: fraction of the labels that training leaves out, so that the network learns to do without, in
            [0, 1); without a meaning where the data has no classes.
        guidance_scale: how far a prediction for a class is moved away from one for none: 1 for not at all, 0 for
            drawing without classes.

    Raises:
        ValueError: there are more sampling steps than timesteps; something is left of the image at the last timestep;
            nothing is left of it, but epsilon is predicted; or there is guidance, but no label is left out or there are
            no classes.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        prediction: Literal["epsilon", "v"] = "epsilon",
        schedule: Literal["linear", "cosine"] = "cosine",
        timesteps: Annotated[int, Field(ge=2, le=100_000)] = 1000,
        zero_terminal_snr: bool = False,
        sampler: Literal["euler", "heun", "ddim"] = "ddim",
        sampling_steps: PositiveInt = 50,
        label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        guidance_scale: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(
            model,
            specification,
            Epsilon() if prediction == "epsilon" else V(),
            sampler=sampler,
            sampling_steps=sampling_steps,
            label_dropout=label_dropout,
            guidance_scale=guidance_scale,
        )
        self.timesteps = self.most_steps = timesteps
        squares = alpha_bars(schedule, timesteps, zero_terminal_snr=zero_terminal_snr)
        self.require_steps(sampling_steps)
        if prediction == "epsilon" and zero_terminal_snr:
            raise ValueError(
                "prediction: got epsilon with zero_terminal_snr: at the last timestep the input is noise alone, and "
                "says nothing of the image; expected --set module.prediction=v"
            )
        if schedule == "linear" and not zero_terminal_snr and (last := squares[-1]) > LARGEST_LAST:
            raise ValueError(
                f"timesteps: got {timesteps}, at the end of which the schedule linear leaves {last:.2g} of an image's "
                f"variance, where sampling begins with noise alone; expected at most {LARGEST_LAST:g}: "
                "--set module.timesteps=1000, or --set module.schedule=cosine"
            )
        times, bars = (torch.tensor(each, dtype=torch.float64) for each in (range(timesteps + 1), squares.tolist()))
        self.all_levels = Levels(times / timesteps, bars.sqrt(), (1 - bars).sqrt())
        """The levels of all timesteps, float64 (timesteps + 1,) on the CPU; the first is without noise."""

    def require_steps(self, steps: int) -> None:
        """Raises a ValueError where there are fewer timesteps than steps."""
        if steps > self.timesteps:
            raise ValueError(f"sampling_steps: got {steps}, expected at most {self.timesteps}, the number of timesteps")

    def levels(self, times: Tensor) -> Levels:
        numbers = (times * self.timesteps).long().clamp(max=self.timesteps - 1) + 1
        every = self.all_levels
        return Levels(*(each.to(times)[numbers] for each in (every.time, every.signal, every.noise)))

    def path(self, steps: int) -> Levels:
        self.require_steps(steps)
        numbers = torch.linspace(self.timesteps, 1, steps, dtype=torch.float64).round().long()
        numbers = torch.cat([numbers, numbers.new_zeros(1)])
        every = self.all_levels
        return Levels(every.time[numbers], every.signal[numbers], every.noise[numbers])
