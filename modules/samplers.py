"""Samplers: from noise to images, along the probability flow of a diffusion.

Song et al., "Score-Based Generative Modeling through Stochastic Differential Equations", ICLR 2021. Divided by the sum
of its two factors, an image with noise lies on the straight line from image to noise, whatever the schedule: at the
share of noise s it is ``(1 - s) * clean + s * epsilon``, and changes with s by ``epsilon - clean``. Euler's and Heun's
methods integrate that; no end of it is singular.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from firebox.modules.noise_levels import Estimate, Levels

Denoise = Callable[[Tensor, Levels], Estimate]
"""Estimates what images with noise (N, C, H, W) are made of, given their common level."""
Step = Callable[[Denoise, Tensor, Levels, Levels], tuple[Tensor, Tensor]]
"""Takes images from one level to the next, given the denoiser, the images, and the levels here and there; returns the
images there, and what those here are taken to be without noise."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a sampling.

    Args:
        level: the level of noise.
        images: the images at that level, (N, C, H, W).
        clean: what they are taken to be without noise, (N, C, H, W).
    """

    level: Levels
    images: Tensor
    clean: Tensor


def euler(denoise: Denoise, images: Tensor, here: Levels, there: Levels) -> tuple[Tensor, Tensor]:
    """Follows the direction at the start of the step."""
    clean, epsilon = denoise(images, here)
    return _moved(images, epsilon - clean, here, there), clean


def heun(denoise: Denoise, images: Tensor, here: Levels, there: Levels) -> tuple[Tensor, Tensor]:
    """Follows the mean of the directions at both ends of Euler's step; the last step is Euler's.

    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, algorithm 1.
    """
    clean, epsilon = denoise(images, here)
    end = _moved(images, epsilon - clean, here, there)
    if there.noise == 0:
        return end, clean
    at_end = denoise(end, there)
    direction = (epsilon - clean + at_end.epsilon - at_end.clean) / 2
    return _moved(images, direction, here, there), clean


def ddim(denoise: Denoise, images: Tensor, here: Levels, there: Levels) -> tuple[Tensor, Tensor]:
    """Gives the estimate the next level's noise, which is Euler's step in another form.

    Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, with eta = 0.
    """
    clean, epsilon = denoise(images, here)
    return there.signal * clean + there.noise * epsilon, clean


SAMPLERS: dict[str, Step] = {"euler": euler, "heun": heun, "ddim": ddim}


def trajectory(denoise: Denoise, noise: Tensor, levels: Levels, step: Step) -> Iterator[Moment]:
    """Yields each moment of a sampling, from noise (N, C, H, W) to the images without noise.

    Args:
        denoise: the denoiser.
        noise: drawn from N(0, I).
        levels: the levels from the first, of pure noise, to the last, without any.
        step: how to go from one to the next.
    """
    images = noise
    for number in range(len(levels) - 1):
        here, there = levels[number], levels[number + 1]
        following, clean = step(denoise, images, here, there)
        yield Moment(here, images, clean)
        images = following
    yield Moment(levels[-1], images, images)


def _moved(images: Tensor, direction: Tensor, here: Levels, there: Levels) -> Tensor:
    """Moves images along the straight line of their share of noise."""
    before, after = here.signal + here.noise, there.signal + there.noise
    return (images / before + (there.noise / after - here.noise / before) * direction) * after
