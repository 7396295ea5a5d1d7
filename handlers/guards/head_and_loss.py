"""Guards that compare the activation of a model's output with what the loss expects."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.components.part import built, part_of
from firebox.engine.training.bases.module import OutputKind
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.foundation.problems import Problem

SOFTMAX = ("class_logits", "mask_logits")
LOGITS = ("pixel_logits", "label_logits", "scores", "noise", *SOFTMAX)


class HeadAndLoss(Guard):
    """Refuses an output that has bounds where the loss takes it for a logit, a score or noise."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        kind, activation = preflight.run.module.output_kind, preflight.output_activation
        if kind not in LOGITS or activation in (None, "linear"):
            return
        where = activation_key(preflight)
        way_out = "end the model in its last linear layer"
        if where[-1] == "output_activation":
            way_out = "--set model.output_activation=linear"
        if kind == "noise":
            takes = "the module takes the output for noise, which has no bounds"
        elif kind in SOFTMAX:
            takes = "cross entropy takes the output for logits and applies softmax itself"
        elif kind == "scores":
            module = preflight.configuration.module.component.short_name
            takes = f"the module {module} takes the output for a critic's score, which has no bounds"
        else:
            loss = preflight.run.module.loss
            what = f"the loss {loss.name}" if isinstance(loss, PixelLoss) else "the module"
            takes = f"{what} takes the output for logits and applies sigmoid itself"
            way_out += another_loss(preflight, "pixels")
        yield preflight.problem(f"got {activation}, but {takes}; expected linear: {way_out}", *where)


def activation_key(preflight: Preflight) -> tuple[str, ...]:
    """Returns the key of the model's output activation; the key of the model's name if it has no such setting."""
    return "model", "output_activation" if "output_activation" in preflight.configuration.model.parameters else "name"


def loss_key(preflight: Preflight) -> str | None:
    """Returns the module's setting that names its loss; None if it has none."""
    parts = preflight.configuration.module.parts
    return next((key for key, named in parts.items() if named.component.kind == "loss"), None)


def another_loss(preflight: Preflight, *takes: OutputKind) -> str:
    """Returns the end of a message that says how to choose a loss that fits the data; empty if the module accepts none.

    Args:
        takes: kinds of model output that the loss may expect.
    """
    key = loss_key(preflight)
    declared = preflight.configuration.module.component.signature.parameters.model_fields
    part = part_of(declared[key]) if key is not None else None
    for name in part.accepted() if part is not None else ():
        loss: PixelLoss = built("loss", name)
        if loss.takes in takes and preflight.run.module.goal.pixel_range in loss.targets:
            return f", or --set module.{key}={name}"
    return ""
