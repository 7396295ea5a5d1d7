"""Levels of noise, and what a network predicts of an image at one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of noise: an image with noise is ``signal * image + noise * epsilon``, epsilon from N(0, I).

    Args:
        time: what the network is told of a level, in [0, 1].
        signal: factor of the image.
        noise: factor of the noise. All three have one shape: () for one level, (N,) for N levels.
    """

    time: Tensor
    signal: Tensor
    noise: Tensor

    def __getitem__(self, index: int) -> Levels:
        return Levels(self.time[index], self.signal[index], self.noise[index])

    def __len__(self) -> int:
        return len(self.time)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Returns signal and noise in a shape that multiplies images: () as it is, (N,) as (N, 1, 1, 1)."""
        if not self.time.ndim:
            return self.signal, self.noise
        return self.signal.view(-1, 1, 1, 1), self.noise.view(-1, 1, 1, 1)

    def corrupted(self, images: Tensor, epsilon: Tensor) -> Tensor:
        """Returns images (N, C, H, W) with noise of the same shape."""
        signal, noise = self.factors()
        return signal * images + noise * epsilon


class Estimate(NamedTuple):
    """What a network takes an image with noise to be made of.

    Attributes:
        clean: the image, (N, C, H, W).
        epsilon: the noise, (N, C, H, W).
    """

    clean: Tensor
    epsilon: Tensor


class Prediction(ABC):
    """What a network is trained to predict of an image with noise, and how an estimate follows from it.

    All images are (N, C, H, W); the factors are those of ``Levels.factors``.
    """

    @abstractmethod
    def target(self, image: Tensor, epsilon: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """Returns the target for an image, its noise, and the factors of both."""

    @abstractmethod
    def estimate(self, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Estimate:
        """Returns the estimate that follows from a prediction for an image with noise, and its factors."""


class Epsilon(Prediction):
    """The noise. The image's factor must not be 0."""

    def target(self, image: Tensor, epsilon: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        return epsilon

    def estimate(self, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Estimate:
        return Estimate((noisy - noise * output) / signal, output)


class V(Prediction):
    """The velocity signal * epsilon - noise * image, where the squares of both factors add up to 1.

    Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR 2022.
    """

    def target(self, image: Tensor, epsilon: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        return signal * epsilon - noise * image

    def estimate(self, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Estimate:
        return Estimate(signal * noisy - noise * output, noise * noisy + signal * output)


class Velocity(Prediction):
    """The velocity image - epsilon along the straight line from noise to image, where both factors add up to 1."""

    def target(self, image: Tensor, epsilon: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        return image - epsilon

    def estimate(self, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Estimate:
        return Estimate(noisy + noise * output, noisy - signal * output)


def alpha_bars(
    schedule: Literal["linear", "cosine"], timesteps: int, *, zero_terminal_snr: bool = False
) -> NDArray[numpy.float64]:
    """Returns the squared factor of the image at each timestep, (timesteps + 1,); the first is 1: no noise.

    Args:
        schedule: linear, betas from 0.0001 to 0.02 (Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models",
            NeurIPS 2020); or cosine, betas of at most 0.999 (Nichol and Dhariwal, "Improved Denoising Diffusion
            Probabilistic Models", ICML 2021).
        timesteps: number of timesteps.
        zero_terminal_snr: whether the factors are moved and scaled so that the last one is 0 (Lin et al., "Common
            Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024).
    """
    # In NumPy, as a check before training has no values in its tensors.
    if schedule == "linear":
        betas = numpy.linspace(1e-4, 0.02, timesteps)
    else:
        squares = numpy.cos((numpy.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * numpy.pi / 2) ** 2
        betas = numpy.minimum(1 - squares[1:] / squares[:-1], 0.999)
    bars = numpy.cumprod(1 - betas)
    if zero_terminal_snr:
        signals = numpy.sqrt(bars)
        bars = ((signals - signals[-1]) * signals[0] / (signals[0] - signals[-1])) ** 2
    return numpy.concatenate([[1.0], bars])
