"""What a module's steps may return, and how losses and metrics may be called."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator

import torch

from firebox.engine.training.bases.module import Evaluated
from firebox.foundation.problems import TrainingFailure, shown

COLUMNS = frozenset({"iteration", "epoch", "split", "learning_rate"})
"""What losses.jsonl has beside the losses and metrics of a row."""
RESERVED = frozenset("\"'`<>&[]{}\\/")
"""Characters that JSON, HTML, a terminal's markup or a path take for something else."""


class UnusableModule(TrainingFailure):
    """A module whose steps give nothing that a run can train by or record.

    Args:
        faults: the faults, each with what is expected.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"module: {'; '.join(self.faults)}")


def require_usable(faults: Iterable[str]) -> None:
    """Raises an UnusableModule where there are faults."""
    found = tuple(faults)
    if found:
        raise UnusableModule(found)


def faults_of_terms(terms: object) -> Iterator[str]:
    """Yields what is wrong with what a training step returned."""
    if not isinstance(terms, dict):
        yield f"its training step returns {_kind(terms)}, expected a dict of the loss terms by name"
        return
    if "loss" not in terms:
        yield f"its training step returns {_listed(terms)}, expected loss among them: the total"
    yield from faults_of_names("loss term", terms)
    for name, value in terms.items():
        what = f"its training step's {shown(str(name))} is {_kind(value)}"
        if not isinstance(value, torch.Tensor) or value.shape:
            yield f"{what}, expected a scalar tensor of shape ()"
        elif value.requires_grad:
            yield f"{what} with its graph, whose memory it holds until it is read; expected it detached: .detach()"


def faults_of_evaluated(evaluated: object, samples: int) -> Iterator[str]:
    """Yields what is wrong with what an evaluation step returned for a number of samples."""
    if not isinstance(evaluated, Evaluated):
        yield f"its evaluation step returns {_kind(evaluated)}, expected Evaluated(losses, prediction, target)"
        return
    for name, value in evaluated.losses.items():
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != (samples,):
            what = f"its evaluation step's {shown(str(name))} is {_kind(value)}"
            yield f"{what}, expected a tensor of shape ({samples},): one value a sample"
    for name, value in {**evaluated.losses, "prediction": evaluated.prediction, "target": evaluated.target}.items():
        if isinstance(value, torch.Tensor) and value.requires_grad:
            what = f"its evaluation step's {shown(str(name))} comes with its graph"
            yield f"{what}, whose memory the metrics would hold; expected it detached: .detach()"


def faults_of_gradients(step: str, parameters: Iterable[torch.nn.Parameter]) -> Iterator[str]:
    """Yields what is wrong with the gradients that a step, such as "training", has left in parameters."""
    if any(parameter.grad is not None for parameter in parameters):
        yield (
            f"its {step} step leaves gradients in the parameters, which the next step would be made with as well; "
            "expected update(...) after update(..., step=False), and torch.autograd.grad in place of backward()"
        )


def faults_of_names(what: str, names: Iterable[object]) -> Iterator[str]:
    """Yields what is wrong with the names of loss terms or metrics."""
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable() or RESERVED & set(name):
            reserved = " ".join(sorted(RESERVED))
            yield f"calls a {what} {shown(name)}, expected a printable name without {reserved}"
        elif name in COLUMNS:
            yield f"calls a {what} {name}, which losses.jsonl has a column of; expected another name"


def _listed(terms: dict[object, object]) -> str:
    return shown(", ".join(map(str, terms))) if terms else "no loss terms"


def _kind(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def is_number(value: object) -> bool:
    """Whether a metric's value is a single number."""
    return value.numel() == 1 if isinstance(value, torch.Tensor) else isinstance(value, numbers.Real)
