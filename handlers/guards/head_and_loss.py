"""What a model's output ends in, against what the loss takes it for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem

LOGITS = ("pixel_logits", "class_logits")


class HeadAndLoss(Guard):
    """Refuses an output that is no logit where the loss takes it for one."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        kind, activation = preflight.run.module.output_kind, preflight.output_activation
        if kind not in LOGITS or activation in (None, "linear"):
            return
        where = activation_key(preflight)
        way_out = "end the model in its last linear layer"
        if where[-1] == "output_activation":
            way_out = "--set model.output_activation=linear"
        if kind == "class_logits":
            takes = "cross entropy takes the output for logits and applies softmax itself"
        else:
            takes = "the loss bce takes the output for logits and applies sigmoid itself"
            way_out += f", or --set module.loss={other_loss(preflight)}" if other_loss(preflight) else ""
        yield preflight.problem(f"got {activation}, but {takes}; expected linear: {way_out}", *where)


def activation_key(preflight: Preflight) -> tuple[str, ...]:
    """Returns the key that says what the model's output ends in; the model's name where there is none."""
    return "model", "output_activation" if "output_activation" in preflight.configuration.model.parameters else "name"


def other_loss(preflight: Preflight) -> str | None:
    """Returns a loss of the module that is not the one configured."""
    named = preflight.configuration.module
    field = named.component.signature.parameters.model_fields.get("loss")
    choices = get_args(field.annotation) if field is not None else ()
    return next((str(choice) for choice in choices if choice != named.parameters["loss"]), None)
