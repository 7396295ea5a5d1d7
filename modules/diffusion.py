"""The base of modules that train a network to take noise from images, and draw new images from noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from ignite.metrics import Metric
from torch import Tensor

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.generative import Generative
from firebox.engine.training.bases.module import Evaluated, Images, OutputKind, Picture
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.steps.modes import evaluation_mode
from firebox.engine.training.updates.update import Update
from firebox.foundation.fixed_draws import normal, spread
from firebox.foundation.stairs import draw_stairs
from firebox.modules.metrics import MeanByInterval, loss_metric
from firebox.modules.noise_levels import Estimate, Levels, Prediction
from firebox.modules.samplers import SAMPLERS, Moment, trajectory

TENTHS = 10
BY_TIME = "loss_by_time"
STRIP = 8
"""Moments of a sampling that are shown."""


class DenoisingModel(Protocol):
    """The interface that the module requires of a model."""

    def __call__(self, images: Tensor, times: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """Returns a prediction of the shape of images with noise (N, C, H, W).

        Args:
            images: images with noise.
            times: the time of each, (N,) in [0, 1]; None where the model is only looked at.
            labels: the class of each, (N,) int64, the number of classes standing for none; None for none at all.
        """


@dataclass(frozen=True, slots=True)
class DiffusionEvaluated(Evaluated):
    """The result of an evaluation step.

    Args:
        times: the time of each image, (N,) in [0, 1).
    """

    times: Tensor


class Diffusion(Generative):
    """Trains a network by the squared error of what it predicts of images with noise, averaged over their pixels.

    Evaluations give every image its own time and noise, which depend on its position in the split alone: they are the
    same at every evaluation, of every run, on every device and in batches of any size.

    Args:
        sampler: how images are drawn.
        sampling_steps: steps from noise to image.
        label_dropout: fraction of the labels that training leaves out, so that the network learns to do without.
        guidance_scale: how far a prediction for a class is moved away from one for none: 1 for not at all, 0 for
            drawing without classes (Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, whose w is one less).

    Raises:
        ValueError: there is guidance, but no label is left out or there are no classes.
    """

    centred = True
    most_steps: int | None = None
    """The largest number of sampling steps; None for any."""

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        prediction: Prediction,
        *,
        sampler: str,
        sampling_steps: int,
        label_dropout: float,
        guidance_scale: float,
    ) -> None:
        super().__init__(model, specification)
        self.classes = len(specification.classes)
        self.prediction = prediction
        self.sampler = sampler
        self.sampling_steps = sampling_steps
        self.label_dropout = label_dropout
        self.guidance_scale = guidance_scale
        if guidance_scale != 1:
            self.require_guidance(guidance_scale)

    def require_guidance(self, scale: float) -> None:
        """Raises a ValueError where the network can't guide itself."""
        given = f"guidance_scale: got {scale:g}, but"
        if not self.classes:
            raise ValueError(f"{given} the data has no classes; expected 1, or a data set with classes")
        if not self.label_dropout:
            raise ValueError(
                f"{given} label_dropout is 0: the network never learns to do without a class, and guidance compares "
                "with that; expected 1, or --set module.label_dropout=0.1"
            )

    @abstractmethod
    def levels(self, times: Tensor) -> Levels:
        """Returns the levels of noise (N,) at times (N,) in [0, 1)."""

    @abstractmethod
    def path(self, steps: int) -> Levels:
        """Returns the levels of a sampling, float64 (steps + 1,) on the CPU, from pure noise to none."""

    @property
    def output_kind(self) -> OutputKind:
        return "noise"

    def training_step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        images, labels = batch.images, self._labels(batch)
        count = len(images)
        # Each image has a time in its own part of [0, 1), all moved by one draw: the loss of a batch varies less than
        # with independent times (Kingma et al., "Variational Diffusion Models", NeurIPS 2021, appendix I.1).
        times = (torch.rand((), device=images.device) + torch.arange(count, device=images.device) / count) % 1
        epsilon = torch.randn_like(images)
        if labels is not None and self.label_dropout:
            labels = labels.masked_fill(torch.rand(count, device=images.device) < self.label_dropout, self.classes)
        loss = self._errors(images, epsilon, self.levels(times), labels)[0].mean()
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> DiffusionEvaluated:
        images = batch.images
        indices = batch.indices.to(images.device)
        times, epsilon = spread(indices), normal(indices, images.shape[1:]).to(images)
        losses, estimate = self._errors(images, epsilon, self.levels(times), self._labels(batch))
        to_unit = self.specification.to_unit
        return DiffusionEvaluated({"loss": losses}, to_unit(estimate.clean), to_unit(images), times)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the loss, and its mean in each tenth of the time: ``loss_t0`` for times in [0, 0.1), and so on."""

        def by_time(evaluated: DiffusionEvaluated) -> tuple[Tensor, Tensor]:
            return evaluated.losses["loss"], evaluated.times

        tenths = MeanByInterval(TENTHS, by_time, device=device)
        each: dict[str, Metric] = {f"loss_t{number}": tenths[number] for number in range(TENTHS)}
        return {"loss": loss_metric("loss", device), **each, BY_TIME: tenths}

    def evaluation_images(self, metrics: Mapping[str, Any]) -> Mapping[str, Picture]:
        pictures = super().evaluation_images(metrics)
        losses = metrics.get(BY_TIME)
        if losses is None:
            return pictures
        return {**pictures, BY_TIME: partial(draw_stairs, losses.cpu(), (0.0, 1.0), ("time", "loss"))}

    def images(self, batch: Batch) -> Images:
        """Returns images drawn for the batch's classes, how they came out of the noise, and what they were taken for.

        The noise is drawn with torch's default generator of the CPU.
        """
        noise = torch.randn(batch.images.shape).to(batch.images)
        moments = list(self.trajectory(noise, self._labels(batch)))
        return self.shown(moments, batch.labels)

    def shown(self, moments: list[Moment], labels: Tensor | None) -> dict[str, Shown]:
        """Returns the pictures of a sampling: its samples, and moments of it one beneath the other."""
        to_unit = self.specification.to_unit
        last = len(moments) - 1
        strip = [moments[k] for k in dict.fromkeys(round(n * last / (STRIP - 1)) for n in range(STRIP))]
        return {
            "samples": Shown(to_unit(moments[-1].images), given=labels),
            "trajectory": Shown(*(to_unit(moment.images) for moment in strip), given=labels),
            "estimates": Shown(*(to_unit(moment.clean) for moment in strip), given=labels),
        }

    def sample(
        self,
        count: int,
        generator: torch.Generator,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> Tensor:
        """Draws images for the classes in turn, the model in evaluation mode and without gradients.

        Args:
            count: number of images.
            generator: generator on the CPU, from which all randomness comes.
            steps: number of steps; None for the module's own.
            guidance_scale: scale of the guidance; None for the module's own.

        Returns:
            Images in about the data's pixel range, (count, C, H, W) float32 on the model's device.
        """
        return self._drawn(self.draw_latents(count, generator), steps=steps, guidance_scale=guidance_scale)

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, *self.specification.shape, generator=generator)

    def decode_latents(self, latents: Tensor) -> Tensor:
        return self._drawn(latents)

    def _drawn(self, noise: Tensor, **settings: Any) -> Tensor:
        """Returns the images that come out of noise (N, C, H, W), for the classes in turn."""
        device = next(self.model.parameters()).device
        labels = torch.arange(len(noise), device=device) % self.classes if self.classes else None
        *_, last = self.trajectory(noise.to(device), labels, **settings)
        return last.images

    def trajectory(
        self,
        noise: Tensor,
        labels: Tensor | None,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
    ) -> Iterator[Moment]:
        """Yields each moment of a sampling, the model in evaluation mode and without gradients.

        Args:
            noise: drawn from N(0, I), (N, C, H, W).
            labels: the class of each image, (N,) int64; None for none.
            steps: number of steps; None for the module's own.
            guidance_scale: scale of the guidance; None for the module's own.
            sampler: name of the sampler; None for the module's own.
        """
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        step = SAMPLERS[self.sampler if sampler is None else sampler]
        levels = self.path(self.sampling_steps if steps is None else steps)
        return trajectory(partial(self._guided, labels, scale), noise, levels, step)

    def _guided(self, labels: Tensor | None, scale: float, images: Tensor, level: Levels) -> Estimate:
        """Estimates what images at one level are made of, guided by their classes."""
        times = level.time.to(images).expand(len(images))
        model: DenoisingModel = self.model
        with torch.no_grad(), evaluation_mode(self.model):
            output = model(images, times, labels if scale else None)
            if labels is not None and scale not in (0, 1):
                output = torch.lerp(model(images, times, None), output, scale)
        return self.prediction.estimate(output.to(images.dtype), images, level.signal, level.noise)

    def _errors(
        self, images: Tensor, epsilon: Tensor, levels: Levels, labels: Tensor | None
    ) -> tuple[Tensor, Estimate]:
        """Returns the mean squared error of each image, (N,), and what the network takes it to be made of."""
        noisy = levels.corrupted(images, epsilon)
        model: DenoisingModel = self.model
        output = model(noisy, levels.time, labels).float()
        target = self.prediction.target(images, epsilon, *levels.factors())
        errors = (output - target).square().flatten(1).mean(1)
        return errors, self.prediction.estimate(output.detach(), noisy, *levels.factors())

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.classes else None
