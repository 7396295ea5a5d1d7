"""What the modules that train a generator against a critic have in common."""

from __future__ import annotations

from typing import Protocol, cast

import torch

from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.generative import Generative
from firebox.engine.training.bases.module import Evaluated, Images, OutputKind
from firebox.engine.training.steps.modes import evaluation_mode


class AdversarialModel(Protocol):
    """The interface that the modules require of a model."""

    latent_dim: int
    generator: torch.nn.Module
    """Takes latents (N, latent_dim) to images (N, C, H, W) in the data's pixel range."""
    critic: torch.nn.Module
    """Takes images (N, C, H, W) to scores, (N,) or one of each region; the model itself does so, too."""


class Adversarial(Generative):
    """Trains a generator to draw images, and a critic to tell them from real ones; each has an optimizer of its own.

    The optimizers are called ``generator`` and ``critic``.
    """

    requires = ("generator", "critic", "latent_dim")
    averaged = ("generator",)
    rivals = ("loss", "critic_loss")

    @property
    def output_kind(self) -> OutputKind:
        return "scores"

    @property
    def gan(self) -> AdversarialModel:
        """The model, typed as what the modules require."""
        return cast(AdversarialModel, self.model)

    def parameters(self) -> dict[str, list[torch.nn.Parameter]]:
        parts = {"generator": self.gan.generator, "critic": self.gan.critic}
        return {name: [p for p in part.parameters() if p.requires_grad] for name, part in parts.items()}

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the critic's score of each image, (N,) float32; the mean over its regions if it scores those."""
        scores: torch.Tensor = self.gan.critic(images)
        return (scores if scores.dim() == 1 else scores.flatten(1).mean(1)).float()

    def draw(self, images: torch.Tensor) -> torch.Tensor:
        """Draws as many images as are given, with torch's default generator of their device."""
        noise = torch.randn(len(images), self.gan.latent_dim, device=images.device)
        drawn: torch.Tensor = self.gan.generator(noise)
        return drawn

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return self.decode_latents(self.draw_latents(count, generator))

    def draw_latents(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(count, self.gan.latent_dim, generator=generator)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        device = next(self.model.parameters()).device
        with torch.no_grad(), evaluation_mode(self.model):
            drawn: torch.Tensor = self.gan.generator(latents.to(device))
        return drawn.float()

    def images(self, batch: Batch) -> Images:
        """Returns drawn images, as many as there are in the batch: of the same noise each time."""
        return {"samples": (self.specification.to_unit(self.sample(len(batch), torch.default_generator)),)}

    def evaluated(self, losses: dict[str, torch.Tensor], batch: Batch, drawn: torch.Tensor) -> Evaluated:
        """Returns the losses and the images that they are of, detached."""
        unit = self.specification.to_unit
        detached = {name: loss.detach() for name, loss in losses.items()}
        return Evaluated(detached, unit(drawn.detach()), unit(batch.images))
