"""The base class of modules: the training logic around a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from ignite.metrics import Metric

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Kind
from firebox.data.sources.batch import Batch
from firebox.engine.components.catalogue import catalogue, find
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.engine.training.updates.update import Update

Images = Mapping[str, tuple[torch.Tensor, ...]]
"""Pictures by name; each a tuple of (N, C, H, W) float in [0, 1], shown one beneath the other, image by image; a
``Shown`` is one that knows the classes to write below."""

Picture = torch.Tensor | Callable[[], torch.Tensor]
"""A picture (C, H, W), uint8 or float in [0, 1]; or a function that draws it, called on the thread that writes."""

OutputKind = Literal[
    "pixels", "pixel_logits", "noise", "class_logits", "mask_logits", "label_logits", "values", "scores"
]
"""Pixels have the data's pixel range; the logits are of pixels in [0, 1], of the classes of a sample or of each of its
pixels, or of labels; noise, or what follows from it, has the shape of an image and no bounds; values are numbers that
are regressed; scores are a critic's, and have no bounds."""

TAKEN: dict[Kind, str] = {
    "class": "a class",
    "labels": "several labels",
    "mask": "a mask",
    "image": "a target image",
    "values": "values to regress",
}
"""How messages call the kinds of targets."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of an evaluation step, which metrics read.

    Args:
        losses: all loss terms by name, one value per sample, (N,).
        prediction: images in [0, 1] (N, C, H, W), or logits (N, classes).
        target: images in [0, 1] (N, C, H, W), or the targets, such as classes (N,) int64.
    """

    losses: dict[str, torch.Tensor]
    prediction: torch.Tensor
    target: torch.Tensor


def modules_taking(kind: Kind) -> list[str]:
    """Returns the names of the modules of the catalogue that are made for a kind of target."""
    known = {name: find("module", name).signature.attributes for name in catalogue("module")}
    return [name for name, attributes in known.items() if kind in attributes.get("takes", ())]


class Module(ABC):
    """Joins a model to data: training step, evaluation step, losses, metrics, images, optimizers.

    The constructor's keyword parameters are its settings in a configuration.

    Args:
        model: the network.
        specification: the data's specification.

    Raises:
        ValueError: the data has no targets that the module takes.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    """What a model must have beside being called, such as ``encode``."""
    takes: ClassVar[tuple[Kind, ...]] = ()
    """The kinds of targets that it can train on, one of which the data must have; empty if it needs none."""
    warmup_iterations: int = 0
    """Iterations at the start in which the loss still changes its meaning, such as by a weight that rises: guards hold
    the run's length and early stopping against it. A module that has any sets it in its constructor."""

    evaluation_needs_gradients: ClassVar[bool] = False
    """Whether its evaluation step differentiates, as a gradient penalty does. It then computes with gradients: by
    ``torch.autograd.grad``, which leaves none in the parameters, and returns what it evaluated detached."""

    averaged: ClassVar[tuple[str, ...]] = ()
    """Patterns of the model's parameters or layers that the handler ema averages, such as ``("generator",)``; the rest
    of the model is evaluated as it is. () for all."""

    divisible: ClassVar[bool] = True
    """Whether its step may be made for parts of a batch one after another, whose gradients are added, as for
    microbatches. Not if the step changes something else that the next part would see, such as a codebook."""

    adds_noise: ClassVar[bool] = False
    """Whether it adds noise to the images itself and compares the output with the images without: noise among the
    augmentations would be in both."""

    centred: ClassVar[bool] = False
    """Whether it needs pixels around 0, in [-1,1] or standardised, as those do that noise is added to."""

    rivals: ClassVar[tuple[str, ...]] = ()
    """The names of losses that two parts of the model pull in opposite directions, as in a GAN: neither falls while the
    model improves, so that guards let nothing stop at them or take them for the best."""

    penalised: ClassVar[tuple[str, ...]] = ()
    """The parts of the model, or networks of the module's own, whose gradient at each image is penalised, such as
    ``("critic",)``. It needs the gradient of a gradient, and outputs that depend on one image each; guards refuse what
    has neither."""

    loss: PixelLoss | None = None
    """The pixel loss it trains with, None if it has none; guards compare it with the model's output and the data."""

    def __init__(self, model: torch.nn.Module, specification: ImageSpecification) -> None:
        if self.takes and (specification.target is None or specification.target.kind not in self.takes):
            wanted = " or ".join(TAKEN[kind] for kind in self.takes)
            found, others = "none", "module"
            if specification.target is not None:
                found = specification.target.described
                taking = modules_taking(specification.target.kind)
                others = f"a module that takes it: {' or '.join(taking)}" if taking else "module"
            raise ValueError(
                f"needs data whose samples have {wanted}, got {found}; choose another data set or {others}"
            )
        self.model = model
        self.specification = specification

    @property
    def goal(self) -> ImageSpecification:
        """The specification of the images that its pixel loss compares the output with: those of the input."""
        return self.specification

    @property
    def output_kind(self) -> OutputKind | None:
        """How it interprets the model's output: as its pixel loss does. None if undeclared."""
        return self.loss.takes if isinstance(self.loss, PixelLoss) else None

    def parameters(self) -> dict[str, list[torch.nn.Parameter]]:
        """Returns what each optimizer updates, by the optimizer's name. A module may own several.

        A loss reaches the parameters of the optimizer that it is given to, and no others. The names are those of a
        configuration's ``optimizer.parts``.
        """
        return {"main": [parameter for parameter in self.model.parameters() if parameter.requires_grad]}

    @abstractmethod
    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        """Computes the losses of a batch and has the parameters updated.

        Args:
            batch: images float32 in the data's pixel range.
            update: called with each loss to minimise, and the name of the optimizer where there are several; knows
                the iteration.

        Returns:
            All loss terms by name, detached scalars of shape (); the total is ``loss``.
        """

    @abstractmethod
    def evaluation_step(self, batch: Batch) -> Evaluated:
        """Computes the losses and predictions of a batch, the model in evaluation mode.

        In inference mode, unless ``evaluation_needs_gradients`` says otherwise.
        """

    @abstractmethod
    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the metrics of an evaluation by name, each reading ``Evaluated``; ``loss`` is among them."""

    def images(self, batch: Batch) -> Images:
        """Returns what to show of a batch; in inference mode, the model in evaluation mode."""
        return {}

    def evaluation_images(self, metrics: Mapping[str, Any]) -> Mapping[str, Picture]:
        """Returns what to show of an evaluation's metrics: pictures by name.

        Training waits for what is drawn here, but not for a function that is returned to draw a picture.
        """
        return {}

    def summary(self) -> dict[str, str]:
        """Returns what the model summary should say of the module, such as an effective weight."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Returns what the module remembers beside the model's own state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` returned."""
