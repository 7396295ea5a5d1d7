"""Guards for models whose parts are trained against each other: a generator and a critic."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, shown
from firebox.handlers.checkpoint import Checkpoint
from firebox.handlers.guards.monitored_metric import watchers
from firebox.handlers.guards.pixel_range import REACHES

QUALITY = "validation/fd_cnn, which the handler sample_quality measures with splits [validation]"


class PenalisedNormalisation(Guard):
    """Refuses batch normalisation in a part whose gradient at each image is penalised."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        import torch
        from torch.nn.modules.batchnorm import _BatchNorm

        run, configuration = preflight.run, preflight.configuration
        for name in run.module.penalised:
            of_model = hasattr(run.model, name)
            part = getattr(run.model if of_model else run.module, name, None)
            key, owner = ("model", configuration.model) if of_model else ("module", configuration.module)
            if not isinstance(part, torch.nn.Module):
                message = f"penalised of the module has {name!r}, which is no part of the module or of its model"
                yield preflight.problem(message, "module", "name")
                continue
            found = [layer for layer, each in part.named_modules(prefix=name) if isinstance(each, _BatchNorm)]
            if found:
                message = (
                    f"got {owner.component.short_name}, whose {name} has batch normalisation "
                    f"({shown(', '.join(found))}): an image's score then depends on the "
                    "others of its batch, and the penalty on its gradient has no meaning; expected "
                    "torch.nn.GroupNorm(1, channels), which normalises each image by itself, or none"
                )
                yield preflight.problem(message, key, "name")


class PenaltyCompiled(Guard):
    """Refuses to compile a model whose gradient is penalised."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.configuration.training.compile and preflight.run.module.penalised:
            module = preflight.configuration.module.component.short_name
            message = f"got true, but the penalty of the module {module} needs the gradient of a gradient, which a "
            message += "compiled model has none of; expected --set training.compile=false"
            yield preflight.problem(message, "training", "compile")


class RivalLoss(Guard):
    """Refuses to stop at, or to take for the best, a loss that a rival pulls in the other direction."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:  # a run assembled in Python may watch what a configuration would not
            return
        module = preflight.run.module
        for watcher in watchers(preflight):
            if watcher.metric.partition("/")[2] in module.rivals:
                path = watcher.handler.path
                message = f"got {watcher.metric}, which does not fall while the images of the module "
                message += f"{preflight.configuration.module.component.short_name} improve; expected {QUALITY}"
                if issubclass(watcher.handler.kind, Checkpoint):
                    message += f", or none: --set {'.'.join(path)}.keep_best=0"
                yield preflight.problem(message, *path, watcher.key)


class DrawnRange(Guard):
    """Refuses a generator whose images have another range than the data's."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.run.module.output_kind != "scores":
            return
        activation, pixels = self._activation(preflight), preflight.specification.pixel_range
        values, right_for = REACHES.get(activation or "", ("", (pixels,)))
        if pixels not in right_for:
            data = preflight.configuration.data.kind
            message = f"got {pixels}, but the generator ends in {activation}, whose values lie in {values}: the critic "
            message += "tells drawn images by their range alone; expected "
            way_out = f'--set {data}.pixel_range="{right_for[0]}"' if right_for else "another end of the generator"
            yield preflight.problem(message + way_out, data, "pixel_range")

    def _activation(self, preflight: Preflight) -> str | None:
        """Returns what the generator ends in, as observed or else as it declares it; None if unknown."""
        import torch

        model = preflight.run.model
        generator, size = getattr(model, "generator", None), getattr(model, "latent_dim", None)
        declared = getattr(generator, "output_activation", None)
        if preflight.assembled or not callable(generator) or not isinstance(size, int):
            return declared
        drawn = preflight.rehearsal.called(generator, lambda: torch.zeros(2, size))
        return (drawn.activation if drawn else None) or declared
