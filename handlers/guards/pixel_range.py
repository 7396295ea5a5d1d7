"""The range of the pixels against the range of the model's output and of the loss's targets."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem
from firebox.handlers.guards.head_and_loss import activation_key, other_loss

REACHES = {
    "sigmoid": ("[0,1]", ("[0,1]",)),
    "tanh": ("[-1,1]", ("[-1,1]",)),
    "relu": ("[0,inf)", ("[0,1]",)),
    "softmax": ("[0,1], and whose rows sum to 1", ()),
    "log_softmax": ("(-inf,0]", ()),
}
"""By activation: the range of its values, and the pixel ranges that it is right for."""

FITTING = {"[0,1]": "sigmoid or linear", "[-1,1]": "tanh or linear", "standardised": "linear"}


class PixelRange(Guard):
    """Refuses pixels in a range that the model's output can't reach."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        activation, pixels = preflight.output_activation, preflight.specification.pixel_range
        if preflight.run.module.output_kind != "pixels" or activation not in REACHES:
            return
        values, right_for = REACHES[activation]
        if pixels in right_for:
            return
        data = preflight.configuration.data.kind
        changed = f', or --set {data}.pixel_range="{right_for[0]}"' if right_for else ""
        message = f"got {activation}, whose values lie in {values}, but {data}.pixel_range is {pixels}"
        yield preflight.problem(f"{message}; expected {FITTING[pixels]}{changed}", *activation_key(preflight))


class TargetRange(Guard):
    """Refuses bce where the pixels are no probabilities."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        pixels = preflight.specification.pixel_range
        if preflight.run.module.output_kind != "pixel_logits" or pixels == "[0,1]":
            return
        data, other = preflight.configuration.data.kind, other_loss(preflight)
        instead = f", or --set module.loss={other}" if other else ""
        message = f"got bce, which takes pixels for probabilities, but {data}.pixel_range is {pixels}"
        yield preflight.problem(f'{message}; expected --set {data}.pixel_range="[0,1]"{instead}', "module", "loss")
