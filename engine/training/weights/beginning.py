"""What a model begins with: weights of an earlier one, and what of it is not trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch._subclasses.fake_tensor import FakeTensor

from firebox.engine.configuration import Configuration
from firebox.engine.configuration.configuration import Weights
from firebox.engine.records.sealing import CARD
from firebox.engine.records.verification import WEIGHTS, verified
from firebox.engine.training.weights.parameter_groups import matches, unfitting
from firebox.foundation.files import digest
from firebox.foundation.problems import Problem, Refusal, in_one_line, refuse, shown

SUFFIX = ".safetensors"
EXPECTED = f"expected an archive's folder or a {SUFFIX} file, which can hold no code"


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What a model has taken from the weights of an earlier one.

    Args:
        path: file of the weights.
        sha256: SHA-256 of the file.
        taken: names of the tensors that were taken.
        left: why each of the file's other tensors was not, by its name.
        initialised: names of the model's tensors that begin as they were initialised.
    """

    path: Path
    sha256: str
    taken: tuple[str, ...]
    left: Mapping[str, str]
    initialised: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Returns it as plain data."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "taken": list(self.taken),
            "left": dict(self.left),
            "initialised": list(self.initialised),
        }

    def __str__(self) -> str:
        text = f"took {len(self.taken)} of {len(self.taken) + len(self.left)} tensors of {self.path}"
        if self.left:
            text += f"; left: {shown('; '.join(f'{name} ({why})' for name, why in self.left.items()), 300)}"
        if self.initialised:
            text += f"; begin as initialised: {shown(', '.join(self.initialised), 300)}"
        return text


def take_weights(model: torch.nn.Module, configuration: Configuration) -> WarmStart | None:
    """Copies the weights that the configuration names into a model, as far as their names and shapes fit.

    Returns:
        What was taken; None if the configuration names no weights.

    Raises:
        Refusal: there are no such weights, they are damaged, or none of them fits.
    """
    if configuration.weights is None:
        return None
    try:
        return _take(model, _file(configuration.weights))
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, Refusal):
            message = "; ".join(problem.message for problem in error.problems)
        else:
            message = in_one_line(error) if isinstance(error, SafetensorError) else str(error)
        mark = configuration.mark("model", "weights")
        raise Refusal([Problem("model.weights", message, mark)]) from None


def _file(weights: Weights) -> Path:
    """Returns the file of the weights; an archive is verified whole."""
    path = weights.path
    if path.is_dir():
        if not (path / CARD).is_file():
            raise ValueError(f"got {weights.written}, a folder that is no archive; {EXPECTED}")
        verified(path)
        return path / WEIGHTS
    if not path.is_file():  # opening a pipe would wait for its writer
        raise ValueError(f"got {weights.written}: no such file or archive: {path}; {EXPECTED}")
    if path.suffix != SUFFIX:
        raise ValueError(f"got {weights.written}; {EXPECTED}")
    return path


def _take(model: torch.nn.Module, file: Path) -> WarmStart:
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    taken, left = [], {}
    with safe_open(file, "pt") as tensors, torch.no_grad():
        for name in tensors.keys():  # noqa: SIM118 - a file of tensors is no mapping
            shape = tuple(tensors.get_slice(name).get_shape())
            if name not in own:
                left[name] = "the model has none of this name"
            elif shape != tuple(own[name].shape):
                left[name] = f"of shape {shape}, the model's is {tuple(own[name].shape)}"
            else:
                taken.append(name)
                if not isinstance(own[name], FakeTensor):  # a rehearsal has no values
                    own[name].copy_(tensors.get_tensor(name))
    # What has no gradient, such as a count of batches, fits many a model.
    if not {name for name, _ in model.named_parameters(remove_duplicate=False)}.intersection(taken):
        why = shown("; ".join(f"{name}: {reason}" for name, reason in left.items()) or "it has no parameters", 300)
        raise ValueError(f"nothing in {file} fits the model: {why}; the model has {shown(', '.join(own), 300)}")
    return WarmStart(file, digest(file), tuple(taken), left, tuple(name for name in own if name not in taken))


def freeze(model: torch.nn.Module, configuration: Configuration) -> None:
    """Leaves out of the training the parameters and layers that the configuration's patterns fit.

    What has statistics of its own keeps these, too, such as normalisation or a codebook: it stays in evaluation mode. A
    layer is frozen if a pattern fits it, or if patterns fit all of its parameters.

    Raises:
        Refusal: a pattern fits nothing.
    """
    layers = {name: layer for name, layer in model.named_modules() if name}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    problems, frozen = [], set()
    for number, pattern in enumerate(configuration.freeze):
        fitting = [name for name in (*layers, *parameters) if matches(pattern, name)]
        frozen.update(fitting)
        if not fitting:
            mark = configuration.root.find("model", "freeze", number).mark
            message = f"got {shown(pattern)}, which fits no parameter{unfitting(pattern, parameters)}"
            problems.append(Problem("model.freeze", message, mark))
    refuse(problems)
    for name in frozen & parameters.keys():
        parameters[name].requires_grad_(False)
    for name, layer in layers.items():
        own = {f"{name}.{each}" for each, _ in layer.named_parameters(recurse=False)}
        if (name in frozen or (own and own <= frozen)) and next(layer.buffers(recurse=False), None) is not None:
            layer.eval()
