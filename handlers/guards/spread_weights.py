"""A guard for weights that are spread over the processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, setting, shown
from firebox.handlers.ema import EMA
from firebox.handlers.histograms import Histograms
from firebox.handlers.sample_quality import SampleQuality

if TYPE_CHECKING:
    import torch

REPLICATED = setting("training.parallel", "replicated")


class SpreadWeights(Guard):
    """Refuses to spread weights over processes (fsdp) where something needs them whole."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.configuration.training.parallel != "fsdp":
            return
        yield from _of_settings(preflight)
        run, model = preflight.run, preflight.run.model
        names = list(run.update.optimizers)
        if len(names) > 1:
            message = f"updates by {len(names)} optimizers, {', '.join(names)}, of which training.parallel fsdp has one"
            yield preflight.problem(f"{message}: {REPLICATED}", "module", "name")
        if run.module.evaluation_needs_gradients:
            message = "computes gradients in its evaluation, which training.parallel fsdp would add to the training's"
            yield preflight.problem(f"{message}: {REPLICATED}", "module", "name")
        own = {id(parameter) for parameter in model.parameters()}
        groups = [group for optimizer in run.update.optimizers.values() for group in optimizer.param_groups]
        trained = {id(parameter) for group in groups for parameter in group["params"]}
        if trained - own:
            message = "trains parameters that are not its model's, the only ones that training.parallel fsdp can spread"
            yield preflight.problem(f"{message}: {REPLICATED}", "module", "name")
        if any(parameter.requires_grad and id(parameter) not in trained for parameter in model.parameters()):
            message = "leaves parameters of its model to no optimizer; expected those in model.freeze"
            yield preflight.problem(f"{message}, or {REPLICATED}", "module", "name")
        if run.averaged_model is not None:
            path = next((attached.path for attached in preflight.handlers_of(EMA)), ("handlers",))
            message = "averages the weights, of which training.parallel fsdp leaves a part to each process"
            way_out = f"expected {setting('.'.join(path), 'false')}, or " if len(path) > 1 else ""
            yield preflight.problem(f"{message}; {way_out}{REPLICATED}", *path)
        for kind, does in ((SampleQuality, "draws images"), (Histograms, "looks at each step")):
            for attached in preflight.handlers_of(kind):
                message = f"{does} in the first process alone, which holds a part of the weights; expected"
                way_out = setting(".".join(attached.path), "false")
                yield preflight.problem(f"{message} {way_out}, or {REPLICATED}", *attached.path)
        if run.module.penalised:
            message = "needs the gradient of a gradient, which training.parallel fsdp can't add up"
            yield preflight.problem(f"{message}: {REPLICATED}", "module", "name")
        yield from _of_parameters(preflight, model)
        apart = _called_apart(preflight)
        if apart:
            message = (
                f"calls a part of the model, {apart}, beside the model itself, which is what gathers its weights where "
                f"training.parallel fsdp spreads them; expected it to call the model alone, or {REPLICATED}"
            )
            yield preflight.problem(message, "module", "name")


def _of_settings(preflight: Preflight) -> Iterator[Problem]:
    from firebox.engine.training.devices.memory_format import has_convolutions

    training = preflight.configuration.training
    if training.compile:
        message = (
            f"got true beside training.parallel fsdp; expected one of them: {setting('training.compile', 'false')}"
        )
        yield preflight.problem(message, "training", "compile")
    if training.precision == "float16":
        message = "got float16, whose scaled gradients training.parallel fsdp can't look through; expected "
        way_out = setting("training.precision", "bfloat16")
        yield preflight.problem(f"{message}bfloat16 or float32: {way_out}", "training", "precision")
    if training.channels_last and has_convolutions(preflight.run.model):
        message = "got true, but training.parallel fsdp keeps the weights of convolutions contiguous; expected false"
        yield preflight.problem(f"{message}: {setting('training.channels_last', 'false')}", "training", "channels_last")


def _of_parameters(preflight: Preflight, model: torch.nn.Module) -> Iterator[Problem]:
    named = list(model.named_parameters(remove_duplicate=False))
    scalars = [name for name, parameter in named if not parameter.dim()]
    if scalars:
        message = f"has parameters of shape (), {shown(', '.join(scalars))}, which training.parallel fsdp can't divide"
        yield preflight.problem(f"{message}; expected shape (1,), or {REPLICATED}", "model", "name")
    first: dict[int, str] = {}
    for name, parameter in named:
        other = first.setdefault(id(parameter), name)
        if other != name:
            message = f"uses one parameter as {other} and as {name}, which training.parallel fsdp gathers apart"
            yield preflight.problem(f"{message}: {REPLICATED}", "model", "name")
            return


def _called_apart(preflight: Preflight) -> str | None:
    """Returns the first part of the model that the module's steps call while the model is not called; None if none."""
    _ = preflight.costs  # steps that fail are reported elsewhere
    model, inside, found = preflight.run.model, [0], list[str]()

    def count(by: int) -> None:
        inside[0] += by

    def look(name: str) -> None:
        if not inside[0]:
            found.append(name)

    with ExitStack() as hooks:
        for hook in (
            model.register_forward_pre_hook(lambda *_: count(1)),
            model.register_forward_hook(lambda *_: count(-1), always_call=True),
            *(
                part.register_forward_pre_hook(lambda *_, name=name: look(name))
                for name, part in model.named_modules()
                if name and any(True for _ in part.parameters())
            ),
        ):
            hooks.callback(hook.remove)
        preflight.rehearsal.steps()
    return found[0] if found else None
