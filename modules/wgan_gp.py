"""Training of Wasserstein GANs with a gradient penalty."""

from __future__ import annotations

from typing import Annotated

import torch
from ignite.metrics import Metric
from pydantic import Field, PositiveFloat
from torch.nn.attention import SDPBackend, sdpa_kernel

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated
from firebox.engine.training.updates.update import Update
from firebox.modules.adversarial import Adversarial
from firebox.modules.metrics import loss_metric

TERMS = ("loss", "critic_loss", "wasserstein", "gradient_norm", "score_real", "score_drawn")


class WGANGP(Adversarial):
    """Trains a critic to estimate the Wasserstein distance of drawn from real images, and a generator to lessen it.

    The critic c minimises mean c(G(z)) - mean c(x) + gradient_penalty * mean (|c'(y)| - 1)^2, y on the line between
    a drawn image and a real one; the generator minimises -mean c(G(z)). Gulrajani et al., "Improved Training of
    Wasserstein GANs", NeurIPS 2017. The critic steps in every iteration, each on new images, the generator in some.

    Args:
        gradient_penalty: weight of the squared deviation of the critic's gradient norm from 1.
        critic_steps: iterations, and so steps of the critic, for each step of the generator.
    """

    evaluation_needs_gradients = True
    penalised = ("critic",)

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        gradient_penalty: PositiveFloat = 10.0,
        critic_steps: Annotated[int, Field(ge=1, le=10)] = 5,
    ) -> None:
        super().__init__(model, specification)
        self.gradient_penalty = gradient_penalty
        self.critic_steps = critic_steps

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        steps = update.iteration % self.critic_steps == 0
        with torch.set_grad_enabled(steps):
            drawn = self.draw(batch.images)
        terms = self.terms(batch.images, drawn.detach())
        update(terms["critic_loss"].mean(), "critic")
        found = {name: term.detach().mean() for name, term in terms.items()}
        if steps:
            loss = -self.score(drawn).mean()
            update(loss, "generator")
            found["loss"] = loss.detach()
        return found

    def evaluation_step(self, batch: Batch) -> Evaluated:
        drawn = self.sample(len(batch), torch.default_generator)
        return self.evaluated(self.terms(batch.images, drawn), batch, drawn)

    def terms(self, images: torch.Tensor, drawn: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns the terms of the losses for pairs of a real and a drawn image, each (N,)."""
        real, fake = self.score(images), self.score(drawn)
        norms = self.gradient_norms(images, drawn)
        return {
            "loss": -fake,
            "critic_loss": fake - real + self.gradient_penalty * (norms - 1).square(),
            "wasserstein": real - fake,
            "gradient_norm": norms,
            "score_real": real,
            "score_drawn": fake,
        }

    def gradient_norms(self, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Returns the norm of the critic's gradient at a random point between each real and drawn image, (N,)."""
        share = torch.rand(len(images), *[1] * (images.dim() - 1), dtype=images.dtype, device=images.device)
        between = torch.lerp(images, drawn.to(images), share).requires_grad_()
        # In float32, whatever the precision: the gradient of a gradient has a smaller range. And by the one kernel for
        # attention that has second derivatives.
        with torch.autocast(images.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            (gradients,) = torch.autograd.grad(self.score(between).sum(), between, create_graph=True)
        norms: torch.Tensor = gradients.flatten(1).norm(dim=1)
        return norms

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the generator's loss (``loss``), the critic's, its estimate of the Wasserstein distance, the norm of
        its gradient, and its scores of real and of drawn images."""
        return {name: loss_metric(name, device) for name in TERMS}
