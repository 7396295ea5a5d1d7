"""Training of models that estimate numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from ignite.metrics import MeanAbsoluteError, Metric, MetricsLambda
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Values
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated, Images, Module, OutputKind
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import R2, column, loss_metric, mean_of, names_in_metrics

LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
}


class Regression(Module):
    """Trains a model to estimate the values of an image.

    The loss is in the scale of ``datamodule.target_scale``, the mean over the values; with several values of different
    units, they are better standardised. Errors and what is shown are in the data's own units.

    Args:
        loss: mse, the squared error; l1, the absolute error; huber, half the squared error up to an error of 1, and
            linear beyond, so that outliers count less (Huber, "Robust Estimation of a Location Parameter", 1964).

    Raises:
        ValueError: the samples have no values.
    """

    takes = ("values",)

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        loss: Literal["mse", "l1", "huber"] = "mse",
    ) -> None:
        super().__init__(model, specification)
        target = specification.target
        assert isinstance(target, Values), "the module takes values alone"
        self.target = target
        self.error = LOSSES[loss]

    @property
    def output_kind(self) -> OutputKind:
        return "values"

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        assert batch.targets is not None, "the data has values"
        loss = self.error(self.model(batch.images).float(), batch.targets)
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        """Returns the loss of each sample, and estimates and values in the data's units, (N, values)."""
        assert batch.targets is not None, "the data has values"
        values = self.model(batch.images).float()
        losses = self.error(values, batch.targets, reduction="none").mean(1)
        return Evaluated({"loss": losses}, self.target.in_units(values), self.target.in_units(batch.targets))

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the loss, each value's mean absolute error and coefficient of determination R2, and the mean R2."""
        names = names_in_metrics(self.target.names)
        errors = {
            f"mae_{name}": MeanAbsoluteError(output_transform=partial(column, number), device=device)
            for number, name in enumerate(names)
        }
        shares = {
            f"r2_{name}": R2(output_transform=partial(column, number), device=device)
            for number, name in enumerate(names)
        }
        mean = MetricsLambda(mean_of, *shares.values())
        return {"loss": loss_metric("loss", device), "mean_r2": mean, **errors, **shares}

    def images(self, batch: Batch) -> Images:
        """Returns the images with their given and, beneath, their estimated values."""
        assert batch.targets is not None, "the data has values"
        given, estimated = (
            [", ".join(f"{value:.4g}" for value in values) for values in self.target.in_units(each.float()).tolist()]
            for each in (batch.targets, self.model(batch.images))
        )
        shown = self.specification.to_unit(batch.images)
        return {"estimated": Shown(shown, given=given, predicted=estimated, judged=False)}
