"""Guards that compare the range of the pixels with the range of the model's output and of the loss's targets."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.training.bases.module import OutputKind
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.foundation.problems import Problem
from firebox.handlers.guards.head_and_loss import activation_key, another_loss, loss_key

REACHES = {
    "sigmoid": ("[0,1]", ("[0,1]",)),
    "tanh": ("[-1,1]", ("[-1,1]",)),
    "relu": ("[0,inf)", ("[0,1]",)),
    "softmax": ("[0,1], and whose rows sum to 1", ()),
    "log_softmax": ("(-inf,0]", ()),
}
"""The range of an activation's values and the pixel ranges that it suits, by the activation's name."""

TARGETS: dict[OutputKind | None, tuple[str, ...]] = {"pixel_logits": ("[0,1]",)}
"""The pixel ranges to which a module is limited, by the kind of output that it expects."""

FITTING = {"[0,1]": "sigmoid or linear", "[-1,1]": "tanh or linear", "standardised": "linear"}


class PixelRange(Guard):
    """Refuses pixels in a range that the model's output can't reach."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        activation, pixels = preflight.output_activation, preflight.run.module.goal.pixel_range
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
    """Refuses a loss whose targets can't have the range of the pixels."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        module = preflight.run.module
        pixels = module.goal.pixel_range
        loss, kind = module.loss, module.output_kind
        name, targets = preflight.configuration.module.component.short_name, TARGETS.get(kind, (pixels,))
        if isinstance(loss, PixelLoss):
            name, targets = loss.name, loss.targets
        if pixels in targets:
            return
        data, key = preflight.configuration.data.kind, loss_key(preflight)
        takes = "for probabilities" if kind == "pixel_logits" else f"in {' or '.join(targets)}"
        message = f"got {name}, which takes pixels {takes}, but {data}.pixel_range is {pixels}"
        way_out = f'--set {data}.pixel_range="{targets[0]}"{another_loss(preflight, "pixels", "pixel_logits")}'
        yield preflight.problem(f"{message}; expected {way_out}", "module", key or "name")


class Centred(Guard):
    """Refuses pixels in [0,1] for a module that needs them around 0."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data.kind
        if preflight.run.module.centred and preflight.specification.pixel_range == "[0,1]":
            name = preflight.configuration.module.component.short_name
            message = f"got [0,1], but {name} adds noise of zero mean and unit variance, which pixels around 0 end in"
            yield preflight.problem(
                f'{message}; expected [-1,1] or standardised: --set {data}.pixel_range="[-1,1]"', data, "pixel_range"
            )


class Residual(Guard):
    """Refuses an output that adds the input where the target images have another pixel range."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        pixels, wanted = preflight.specification.pixel_range, preflight.run.module.goal.pixel_range
        if getattr(preflight.run.model, "residual", False) is not True or pixels == wanted:
            return
        key = preflight.configuration.data.kind
        message = f"got true, which adds the input, in {pixels}, to what is compared with target images in {wanted}"
        yield preflight.problem(
            f'{message}; expected --set model.residual=false, or --set {key}.pixel_range="{wanted}"',
            "model",
            "residual",
        )
