"""The best that simple methods reach at a denoiser's or a codebook's task, computed from the data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from firebox.engine.archives.principal_components import PrincipalComponents

BITS = 8
"""Of each principal component, where images are coded by components."""


def affine_denoising_error(components: PrincipalComponents, energies: torch.Tensor, sigma: float) -> float:
    """Returns the expected squared error per pixel of the affine map that restores noisy training images best.

    It shrinks each component by its share of noise, variance / (variance + sigma^2): Wiener's filter. On the training
    split itself the error is the mean of variance * sigma^2 / (variance + sigma^2).

    Args:
        components: those of the training images.
        energies: mean squares of the images to restore along each component around the training mean, (size,).
        sigma: standard deviation of the Gaussian noise, in the data's pixel range.
    """
    assert components.variances is not None
    kept = components.variances / (components.variances + sigma**2) if sigma else torch.ones_like(energies)
    return float(((1 - kept).square() * energies + kept.square() * sigma**2).mean())


@dataclass(frozen=True, slots=True)
class CodingErrors:
    """Squared errors per pixel of images that are coded by principal components in a number of bits.

    Args:
        components: number of components, of BITS bits each.
        pca: error of the images' projections, each entry of which is rounded to the nearest of 2 ** BITS even steps
            over its range in the training images.
        gaussian: the least error at this rate for Gaussian images of the training images' covariance (reverse
            water-filling: Cover and Thomas, "Elements of Information Theory", section 10.3). Images that are not
            Gaussian can be coded with less.
    """

    components: int
    pca: float
    gaussian: float


def coding_errors(
    components: PrincipalComponents, training: Iterator[torch.Tensor], images: Iterator[torch.Tensor], bits: float
) -> CodingErrors:
    """Codes images by principal components in as many bits as an image may take.

    Args:
        components: those of the training images.
        training: batches of the training images, (N, C, H, W).
        images: batches of the images to code.
        bits: bits of an image.
    """
    assert components.vectors is not None
    number = min(int(bits) // BITS, len(components.mean))
    basis = components.vectors[:, :number]
    projections = [(part.flatten(1).cpu().double() - components.mean) @ basis for part in training]
    lowest = torch.stack([part.min(0).values for part in projections]).min(0).values
    highest = torch.stack([part.max(0).values for part in projections]).max(0).values
    step = ((highest - lowest) / (2**BITS - 1)).clamp(min=1e-12)
    count, error = 0, 0.0
    for part in images:
        centred = part.flatten(1).cpu().double() - components.mean
        codes = ((centred @ basis - lowest) / step).round().clamp(0, 2**BITS - 1)
        error += float((centred - (codes * step + lowest) @ basis.T).square().sum())
        count += len(centred)
    return CodingErrors(number, error / count / len(components.mean), gaussian_error(components, bits))


def gaussian_error(components: PrincipalComponents, bits: float) -> float:
    """Returns the least squared error per pixel at which Gaussian images of this covariance are coded in some bits."""
    assert components.variances is not None
    variances = components.variances[components.variances > 1e-12]
    # With n components above the water level, the rate fixes the level; the right n has it between its variances.
    sums = variances.log2().cumsum(0)
    for n in range(1, len(variances) + 1):
        level = 2 ** float((sums[n - 1] - 2 * bits) / n)
        if level <= variances[n - 1] and (n == len(variances) or level >= variances[n]):
            break
    left = variances.clamp(max=level).sum()
    return float(left) / math.prod(components.mean.shape)
