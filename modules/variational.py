"""Training of variational autoencoders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from ignite.metrics import Metric
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.components.part import Part
from firebox.engine.training.bases.generative import Generative
from firebox.engine.training.bases.module import Evaluated, Images
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.steps.modes import evaluation_mode
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import ActiveUnits, loss_metric, reconstruction_metrics


def reconstruction_loss(
    output: torch.Tensor, images: torch.Tensor, loss: PixelLoss, observation_variance: float = 1.0
) -> torch.Tensor:
    """Returns the negative log-likelihood of each image in nats, (N,), summed over its pixels and channels.

    Args:
        output: output of the model, (N, C, H, W), in the form that the loss takes.
        images: images in the data's pixel range, (N, C, H, W).
        loss: pixel loss that is a negative log-likelihood.
        observation_variance: variance of a pixel around its mean, if the likelihood has one.
    """
    losses = loss.per_image(output.float(), images)
    return losses if observation_variance == 1.0 else losses / observation_variance


def kl_to_standard_normal(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Returns KL(N(mean, diag(exp(log_variance))) || N(0, I)) in nats, (N,), summed over the latent's entries.

    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.

    Args:
        mean: mean of the posterior, (N, latent_dim).
        log_variance: log-variance of the posterior, (N, latent_dim).
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class VariationalModel(Protocol):
    """The interface that the module requires of a model."""

    latent_dim: int

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the posterior's mean and log-variance, each (N, latent_dim), of images (N, C, H, W)."""

    def reparameterise(self, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
        """Returns latents (N, latent_dim) drawn from the posterior with torch's default generator."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Returns images, or their logits, (N, C, H, W) of latents (N, latent_dim)."""


@dataclass(frozen=True, slots=True)
class VariationalEvaluated(Evaluated):
    """The result of an evaluation step of a variational autoencoder.

    Args:
        means: means of the posteriors, (N, latent_dim).
    """

    means: torch.Tensor


class Variational(Generative):
    """Trains a variational autoencoder by minimising reconstruction + beta * KL, the negative ELBO if beta is 1.

    Both terms are summed over a sample (its pixels, its latent's entries) and averaged over the batch. Kingma and
    Welling, "Auto-Encoding Variational Bayes", ICLR 2014; beta: Higgins et al., "beta-VAE", ICLR 2017; its warm-up:
    Bowman et al., "Generating Sentences from a Continuous Space", CoNLL 2016. Evaluations always weight the KL by the
    final beta, so that values from before and after the end of the warm-up are comparable.

    Args:
        loss: pixel loss that is a negative log-likelihood. bce takes the model's output as logits and the pixels, in
            [0,1], as probabilities; gaussian takes the output as the means of pixels of a fixed variance: the sum of
            squared errors over 2 * observation_variance.
        observation_variance: variance of a pixel around its mean for gaussian, in the data's pixel range.
        beta: weight of the KL.
        warmup_iterations: number of iterations over which the weight rises linearly to beta, reached at the last one.

    Raises:
        ValueError: the loss is not a log-likelihood, or has no variance to set.
    """

    requires = ("encode", "reparameterise", "decode", "latent_dim")

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        loss: Annotated[Any, Part("loss", "bce", "gaussian")] = "bce",
        observation_variance: PositiveFloat = 1.0,
        beta: NonNegativeFloat = 1.0,
        warmup_iterations: NonNegativeInt = 0,
    ) -> None:
        super().__init__(model, specification)
        self.loss: PixelLoss = PixelLoss.of(loss)
        name = self.loss.name
        if not self.loss.is_likelihood:
            expected = "bce, gaussian, or a class of your own with is_likelihood = True"
            raise ValueError(f"loss: got {name}, which is no log-likelihood; expected {expected}")
        if observation_variance != 1.0 and not self.loss.has_variance:
            raise ValueError(f"observation_variance: has a meaning for loss gaussian only; leave it out for {name}")
        self.observation_variance = observation_variance
        self.beta = beta
        self.warmup_iterations = warmup_iterations

    @property
    def autoencoder(self) -> VariationalModel:
        """The model, typed as what this module requires."""
        return cast(VariationalModel, self.model)

    def beta_at(self, iteration: int) -> float:
        """Returns the weight of the KL at an iteration, counted from 1."""
        return self.beta * min(iteration / self.warmup_iterations, 1.0) if self.warmup_iterations else self.beta

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        beta = self.beta_at(update.iteration)
        model = self.autoencoder
        mean, log_variance = model.encode(batch.images)
        output = model.decode(model.reparameterise(mean, log_variance))
        reconstruction = self._reconstruction(output, batch.images).mean()
        kl = kl_to_standard_normal(mean, log_variance).mean()
        loss = reconstruction + beta * kl
        update(loss)
        return {
            "loss": loss.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            "beta": torch.full_like(kl, beta, requires_grad=False),
        }

    def evaluation_step(self, batch: Batch) -> VariationalEvaluated:
        model = self.autoencoder
        mean, log_variance = model.encode(batch.images)
        output = model.decode(model.reparameterise(mean, log_variance))
        reconstruction = self._reconstruction(output, batch.images)
        kl = kl_to_standard_normal(mean, log_variance)
        losses = {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}
        shown = self._shown(model.decode(mean))
        return VariationalEvaluated(losses, shown, self.specification.to_unit(batch.images), mean)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the terms of the ELBO, each estimated from one latent sample, the active units, and PSNR and SSIM of
        the reconstructions from the posterior means."""
        return {
            **{name: loss_metric(name, device) for name in ("loss", "reconstruction", "kl")},
            "active_units": ActiveUnits(lambda evaluated: evaluated.means, device=device),
            **reconstruction_metrics(self.specification, device),
        }

    def images(self, batch: Batch) -> Images:
        """Returns the input with its reconstruction from the posterior mean, and as many samples from the prior.

        The samples are drawn with torch's default generator.
        """
        model = self.autoencoder
        mean, _ = model.encode(batch.images)
        prior = torch.randn_like(mean)
        images, reconstruction = self.specification.to_unit(batch.images), self._shown(model.decode(mean))
        return {
            "reconstruction": Shown(images, reconstruction, given=batch.labels),
            "prior": (self._shown(model.decode(prior)),),
        }

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Returns decoded draws from the prior."""
        return self.decode_latents(self.draw_latents(count, generator))

    def draw_latents(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(count, self.autoencoder.latent_dim, generator=generator)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        device = next(self.model.parameters()).device
        with torch.no_grad(), evaluation_mode(self.model):
            return self.specification.from_unit(self._shown(self.autoencoder.decode(latents.to(device))))

    def summary(self) -> dict[str, str]:
        """Returns the effective beta: the weight of the KL under other conventions for the same loss."""
        pixels, latents = math.prod(self.specification.shape), self.autoencoder.latent_dim
        weights = self.loss.weights_beside(self.beta * self.observation_variance, pixels)
        (image, effective), (mean, per_pixel) = weights.items()
        summary = {"beta": f"{self.beta:g}", "effective beta": f"{effective:g} beside {image}"}
        summary[f"KL weight beside {mean}"] = (
            f"{per_pixel:.4g} for the KL summed over {latents} latent entries, {per_pixel * latents:.4g} for their mean"
        )
        if self.warmup_iterations:
            summary["beta warm-up"] = f"linear over {self.warmup_iterations} iterations; evaluations use {self.beta:g}"
        return summary

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, unclamped; logits as probabilities."""
        return self.loss.pixels(output)

    def _reconstruction(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return reconstruction_loss(output, images, self.loss, self.observation_variance)

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.specification.to_unit(self.pixels(output))
