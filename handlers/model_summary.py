"""The layers of the model, in model_summary.txt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.steps.modes import evaluation_mode
from firebox.foundation.files import write_whole

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A submodule that has no submodules itself, or has parameters of its own.

    Args:
        name: dotted name, as in the state dict.
        kind: name of its class.
        shapes: shapes of its outputs without the first dimension, in the order of its calls; empty if it wasn't called.
        elements: number of elements of all its outputs for one sample.
        parameters: number of its own parameters.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    elements: int
    parameters: int


class ModelSummary(Handler):
    """Writes the model's layers, output shapes, parameters and memory to model_summary.txt."""

    # torchinfo is not used: it has had no release since 2023, and it runs the model in its current mode and with the
    # current random state, whereas writing a summary must not affect the training.

    phase = Phase.LOG
    writes = ("model_summary.txt",)
    observes = True

    def attach(self, run: Run) -> None:
        """Does nothing: the summary is written at the start."""

    def start(self, run: Run) -> None:
        write_whole(run.directory.model_summary, summary(run))


def summary(run: Run) -> str:
    """Returns the text of the model summary."""
    specification, model = run.data.specification, run.model
    names = [run.configuration.model.component.short_name, run.configuration.module.component.short_name]
    layers, failure = trace(model, torch.zeros(1, *specification.shape, device=run.device), calls=not run.spreads)
    rows = [("layer", "kind", "output", "parameters")]
    for layer in layers:
        shapes = " ".join("×".join(map(str, shape)) for shape in dict.fromkeys(layer.shapes))
        rows.append((layer.name, layer.kind, shapes, f"{layer.parameters:,}" if layer.parameters else ""))
    parameters = list(model.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    stored = sum(t.numel() * t.element_size() for t in (*parameters, *model.buffers()))
    batch_size = run.configuration.data.loading.batch_size
    facts = {
        "model": f"{names[0]}, module {names[1]}",
        "input": f"{'×'.join(map(str, specification.shape))}, pixels {specification.pixel_range}",
        "parameters": f"{total:,}, trainable {trainable:,}",
        "weights": f"{stored / MEBIBYTE:.2f} MiB",
    }
    if failure is None:
        outputs = 4 * batch_size * sum(layer.elements for layer in layers)
        facts["layer outputs"] = f"{outputs / MEBIBYTE:.1f} MiB for a batch of {batch_size} in float32"
    else:
        facts["output shapes"] = f"unknown: {failure}"
    facts |= run.module.summary()
    width = max(map(len, facts))
    return table(rows) + "\n" + "".join(f"{name:<{width}}  {text}\n" for name, text in facts.items())


def trace(model: torch.nn.Module, image: torch.Tensor, *, calls: bool = True) -> tuple[list[Layer], str | None]:
    """Runs a model once and records its layers; its state and the random generators are left unchanged.

    Args:
        model: the model, in training mode, in which it is left.
        image: input of shape (1, C, H, W).
        calls: whether the model can be called; not by one of several processes that each hold a part of its weights.

    Returns:
        The layers in the order of their definition, and what the model raised, or None if it raised nothing.
    """
    parts = [
        (name or "(model)", part)
        for name, part in model.named_modules()
        if not any(True for _ in part.children()) or any(True for _ in part.parameters(recurse=False))
    ]
    shapes: dict[torch.nn.Module, list[tuple[int, ...]]] = {part: [] for _, part in parts}

    def look(part: torch.nn.Module, _: object, output: object) -> None:
        outputs = output if isinstance(output, tuple | list) else (output,)
        shapes[part] += [tuple(each.shape[1:]) for each in outputs if isinstance(each, torch.Tensor)]

    hooks = [part.register_forward_hook(look) for part in shapes]
    devices = [image.device] if image.device.type == "cuda" else []
    failure = None
    try:
        with evaluation_mode(model), torch.random.fork_rng(devices), torch.inference_mode():
            # The model isn't called: calling a compiled model would compile it for a single image.
            if not calls:
                raise ValueError("each process holds a part of the weights alone")
            model.forward(image)
    except Exception as error:  # a missing summary is no reason not to train
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    finally:
        for hook in hooks:
            hook.remove()
    layers = [
        Layer(
            name=name,
            kind=type(part).__name__,
            shapes=tuple(shapes[part]),
            elements=sum(torch.Size(shape).numel() for shape in shapes[part]),
            parameters=sum(parameter.numel() for parameter in part.parameters(recurse=False)),
        )
        for name, part in parts
    ]
    return layers, failure


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of text in columns, the last column right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        lines.append("  ".join([*cells, f"{row[-1]:>{widths[-1]}}"]).rstrip() + "\n")
    return "".join(lines)
