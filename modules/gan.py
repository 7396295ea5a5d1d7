"""Training of generative adversarial networks by the non-saturating loss."""

from __future__ import annotations

import torch
from ignite.metrics import Metric
from torch.nn.functional import softplus

from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated
from firebox.engine.training.updates.update import Update
from firebox.modules.adversarial import Adversarial
from firebox.modules.metrics import loss_metric


class GAN(Adversarial):
    """Trains a generator and a critic in turn, by binary cross entropy with the critic's scores as logits.

    The generator minimises -ln D(G(z)), the non-saturating loss, and the critic -ln D(x) - ln(1 - D(G(z))), D being the
    sigmoid of its score. At the equilibrium, D is 1/2 everywhere, and the losses are ln 2 and 2 ln 2. They say nothing
    of how good the images are. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    """

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        drawn = self.draw(batch.images)
        real, fake = self.score(batch.images), self.score(drawn.detach())
        critic = softplus(-real).mean() + softplus(fake).mean()
        update(critic, "critic")
        loss = softplus(-self.score(drawn)).mean()
        update(loss, "generator")
        return {
            "loss": loss.detach(),
            "critic_loss": critic.detach(),
            "d_real": real.detach().sigmoid().mean(),
            "d_drawn": fake.detach().sigmoid().mean(),
        }

    def evaluation_step(self, batch: Batch) -> Evaluated:
        drawn = self.sample(len(batch), torch.default_generator)
        real, fake = self.score(batch.images), self.score(drawn)
        losses = {
            "loss": softplus(-fake),
            "critic_loss": softplus(-real) + softplus(fake),
            "d_real": real.sigmoid(),
            "d_drawn": fake.sigmoid(),
        }
        return self.evaluated(losses, batch, drawn)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the generator's loss (``loss``), the critic's, and the means of D(x) and D(G(z))."""
        return {name: loss_metric(name, device) for name in ("loss", "critic_loss", "d_real", "d_drawn")}
