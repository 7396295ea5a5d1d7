"""Training of autoencoders whose latents are codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol, cast

import torch
from ignite.metrics import Metric, MetricsLambda
from pydantic import Field, NonNegativeFloat
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.components.part import Part
from firebox.engine.training.bases.module import Evaluated, Images, Module, Picture
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.foundation.usage_plot import draw_usage, perplexity, unused
from firebox.models.codebook import Codebook
from firebox.modules.metrics import CodeCounts, loss_metric, reconstruction_metrics


class QuantisedModel(Protocol):
    """The interface that the module requires of a model."""

    codebook: Codebook
    latent_shape: tuple[int, ...]
    """(D, h, w), the shape of an image's latents."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Returns latents (N, D, h, w), not quantised yet, of images (N, C, H, W)."""

    def quantise(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the codebook's nearest vectors (N, D, h, w) of latents and their codes (N, h, w) int64."""

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """Returns images (N, C, H, W) of vectors (N, D, h, w)."""


@dataclass(frozen=True, slots=True)
class QuantisedEvaluated(Evaluated):
    """The result of an evaluation step of an autoencoder whose latents are codes.

    Args:
        codes: the images' codes, (N, h, w) int64.
    """

    codes: torch.Tensor


class VectorQuantised(Module):
    """Trains an autoencoder whose latents are replaced by the nearest vectors of a codebook.

    Van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017. The loss is that of
    the reconstruction, whose gradient passes from the decoder's input to the encoder's output as if nothing was
    replaced (straight through), plus commitment_cost times the mean squared distance of the encoder's output from its
    vectors. The vectors are moving averages (appendix A.1), begin with k-means of the first batch, and restart where
    they are not used (Dhariwal et al., "Jukebox", 2020).

    Args:
        commitment_cost: weight of the commitment to the vectors.
        decay: fraction of the codebook's moving averages that is kept at each iteration, in [0, 1).
        epsilon: added to each code's count, for Laplace smoothing.
        restart_below: a code that stands for less than this fraction of the mean count of latents is restarted; 0 for
            none.
        loss: pixel loss of the reconstruction, averaged over pixels and images. mse and l1 compare pixels; bce takes
            the model's output as logits and the pixels, in [0,1], as probabilities.
    """

    requires = ("encode", "quantise", "decode", "codebook", "latent_shape")
    divisible = False

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        commitment_cost: NonNegativeFloat = 0.25,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        epsilon: NonNegativeFloat = 1e-5,
        restart_below: Annotated[float, Field(ge=0, lt=1)] = 0.05,
        loss: Annotated[Any, Part("loss", "mse", "bce", "l1")] = "mse",
    ) -> None:
        super().__init__(model, specification)
        self.commitment_cost = commitment_cost
        self.decay = decay
        self.epsilon = epsilon
        self.restart_below = restart_below
        self.loss: PixelLoss = PixelLoss.of(loss)

    @property
    def autoencoder(self) -> QuantisedModel:
        """The model, typed as what this module requires."""
        return cast(QuantisedModel, self.model)

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        model, codebook = self.autoencoder, self.autoencoder.codebook
        latents = model.encode(batch.images)
        if update.iteration == 1:
            codebook.begin(latents)
        vectors, codes = model.quantise(latents)
        output = model.decode(latents + (vectors - latents).detach())
        reconstruction = self.loss.mean(output, batch.images)
        commitment = functional.mse_loss(latents.float(), vectors.detach())
        loss = reconstruction + self.commitment_cost * commitment
        update(loss)
        codebook.follow(
            latents,
            codes,
            decay=self.decay,
            epsilon=self.epsilon,
            restart_below=self.restart_below,
            hold=update.non_finite,
        )
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "commitment": commitment.detach()}

    def evaluation_step(self, batch: Batch) -> QuantisedEvaluated:
        model = self.autoencoder
        latents = model.encode(batch.images)
        vectors, codes = model.quantise(latents)
        output = model.decode(vectors)
        reconstruction = self.loss.per_pixel(output, batch.images).flatten(1).mean(1)
        commitment = (latents.float() - vectors).square().flatten(1).mean(1)
        loss = reconstruction + self.commitment_cost * commitment
        losses = {"loss": loss, "reconstruction": reconstruction, "commitment": commitment}
        return QuantisedEvaluated(losses, self._shown(output), self.specification.to_unit(batch.images), codes)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the loss's terms, PSNR and SSIM of the reconstructions, and the codes' counts over all images with
        their perplexity and the number of codes that are never used.

        They are of a whole split: a batch has too few latents to use all codes.
        """
        counts = CodeCounts(len(self.autoencoder.codebook.counts), lambda evaluated: evaluated.codes, device=device)
        return {
            **{name: loss_metric(name, device) for name in ("loss", "reconstruction", "commitment")},
            **reconstruction_metrics(self.specification, device),
            "perplexity": MetricsLambda(perplexity, counts),
            "dead_codes": MetricsLambda(unused, counts),
            "code_counts": counts,
        }

    def images(self, batch: Batch) -> Images:
        """Returns the input, beneath it its reconstruction, and beneath both its map of codes.

        Codes whose vectors are alike have like colours: the vectors' first three principal components.
        """
        model = self.autoencoder
        vectors, codes = model.quantise(model.encode(batch.images))
        images, reconstruction = self.specification.to_unit(batch.images), self._shown(model.decode(vectors))
        colours = code_colours(model.codebook.embeddings)[codes].movedim(-1, 1)
        maps = functional.interpolate(colours, images.shape[-2:], mode="nearest")
        return {"reconstruction": Shown(images, reconstruction, maps, given=batch.labels)}

    def evaluation_images(self, metrics: Mapping[str, Any]) -> dict[str, Picture]:
        counts = metrics.get("code_counts")
        return {} if counts is None else {"codebook_usage": partial(draw_usage, counts)}

    def summary(self) -> dict[str, str]:
        """Returns what an image's codes take."""
        codes = len(self.autoencoder.codebook.counts)
        return {"codebook": f"{codes} codes of {math.log2(codes):.4g} bits"}

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, unclamped; logits as probabilities."""
        return self.loss.pixels(output)

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.specification.to_unit(self.pixels(output))


def code_colours(embeddings: torch.Tensor) -> torch.Tensor:
    """Returns a colour (K, 3) in [0, 1] for each of the vectors (K, D), alike where these are."""
    vectors = embeddings.detach().double().cpu()
    centred = vectors - vectors.mean(0)
    components = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, :3]
    largest = components.gather(0, components.abs().argmax(0, keepdim=True))
    plane = functional.pad(centred @ (components * largest.sign()), (0, 3 - components.shape[1]))
    spread = plane.std(0, correction=0).max().clamp(min=1e-12)
    return (0.5 + plane / (4 * spread)).clamp(0, 1).to(embeddings)
