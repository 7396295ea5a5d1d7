"""A model and modules for masks and values, as a user's own, for tests of runs over pairs and tables."""

import torch
from ignite.metrics import Metric
from torch.nn import functional

from firebox import Batch, Evaluated, Module, Update
from firebox.modules.metrics import loss_metric


class Pixels(torch.nn.Module):
    """Maps each pixel by itself to the logits of its class."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.layers = torch.nn.Conv2d(input_shape[0], num_classes, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Means(torch.nn.Module):
    """Maps the means of the channels to numbers."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.layers = torch.nn.Linear(input_shape[0], num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.mean((2, 3)))


class Segmentation(Module):
    """Trains on masks by cross entropy, without what is ignored."""

    takes = ("mask",)
    output_kind = "mask_logits"

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model(batch.images)
        return functional.cross_entropy(logits, batch.targets, ignore_index=255, reduction="none"), logits

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        loss = self.losses(batch)[0].mean()
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        losses, logits = self.losses(batch)
        return Evaluated({"loss": losses.flatten(1).mean(1)}, logits, batch.targets)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        return {"loss": loss_metric("loss", device)}

    def images(self, batch: Batch) -> dict[str, tuple[torch.Tensor, ...]]:
        return {"input": (self.specification.to_unit(batch.images),)}


class Regression(Segmentation):
    """Trains on values by the squared error."""

    takes = ("values",)
    output_kind = "values"

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        values = self.model(batch.images)
        return functional.mse_loss(values, batch.targets, reduction="none"), values
