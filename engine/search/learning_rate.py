"""Looks for a learning rate: trains with a growing one, from the start and without handlers, until the loss diverges.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), by Ignite's FastaiLRFinder.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ignite.handlers import FastaiLRFinder

from firebox.engine.launch import beginning, launch
from firebox.engine.launch.admission import Request, admit
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Interrupted, Problem, Refusal, suggestion

if TYPE_CHECKING:
    from firebox.engine.training.run import Run


@dataclass(frozen=True, slots=True)
class Range:
    """What learning rates are tried.

    Args:
        lowest: learning rate of the first iteration.
        highest: learning rate of the last one; in between it grows by the same factor.
        iterations: number of iterations; fewer are made if the loss diverges.
        optimizer: name of the optimizer; None for the only one. Others keep their rates.
    """

    lowest: float
    highest: float
    iterations: int
    optimizer: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Args:
        rates: learning rate of each iteration; of several parameter groups, that of the first.
        losses: smoothed loss of each iteration.
        steepest: learning rate where the loss falls most steeply; None if it falls nowhere.
        diverged: whether the loss rose to five times its lowest value, which ended the search.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    steepest: float | None
    diverged: bool

    @property
    def lowest(self) -> tuple[float, float]:
        """The learning rate of the lowest loss, and that loss."""
        loss, rate = min(zip(self.losses, self.rates, strict=True))
        return rate, loss

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate of the lowest loss; None if the loss falls nowhere.

        Where it falls most steeply depends on the noise of single batches much more.
        """
        return None if self.steepest is None else self.lowest[0] / 10


def find(request: Request, tried: Range, stop: StopRequest) -> Found:
    """Looks for the learning rate of a configuration, which all guards check first; nothing is written.

    Raises:
        Refusal: the configuration can't be trained, or has no such optimizer.
        Interrupted: a stop was requested.
    """
    admitted = admit(request, stop)
    assert admitted is not None, "only a run to resume may be completed"
    bare = replace(admitted.configuration, handlers=(), scheduler=None, scheduler_parts={})
    run = beginning.ready(bare, None, stop, admitted.identity)
    try:
        return _searched(run, tried)
    finally:
        launch.close(run)


def _searched(run: Run, tried: Range) -> Found:
    optimizer, finder = _optimizer(run, tried.optimizer), FastaiLRFinder()
    initial = optimizer.defaults["lr"]
    shares = [group["lr"] / initial if initial else 1.0 for group in optimizer.param_groups]
    # Ignite begins a step after its start, and makes an iteration, and a step beyond its end, more than it is told.
    factor = (tried.highest / tried.lowest) ** (1 / (tried.iterations - 1))
    start, end = tried.lowest / factor, tried.highest / factor
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Run completed without loss diverging")
        with finder.attach(
            run.trainer,
            {"optimizer": optimizer},
            output_transform=_loss,
            num_iter=tried.iterations - 1,
            start_lr=[start * share for share in shares],
            end_lr=[end * share for share in shares],
        ) as trainer:
            trainer.run(run.streams["train"])
    if run.stop.requested:
        raise Interrupted
    results: dict[str, list[Any]] = finder.get_results()
    losses = results["loss"]
    try:
        steepest: float | None = _first(finder.lr_suggestion())
    except RuntimeError:  # the loss falls in fewer than three iterations
        steepest = None
    diverged = losses[-1] > 5 * min(losses)
    return Found([_first(rate) for rate in results["lr"]], losses, steepest, diverged)


def _optimizer(run: Run, name: str | None) -> Any:
    optimizers = run.update.optimizers
    if name is None and len(optimizers) == 1:
        return next(iter(optimizers.values()))
    if name is None or name not in optimizers:
        given = "the module has several optimizers" if name is None else f"got {name}"
        raise Refusal([Problem("", f"--optimizer: {given}; {suggestion(str(name), optimizers)}")])
    return optimizers[name]


def _loss(output: Any) -> float:
    """Returns the loss of an iteration; one that is not a number has diverged."""
    loss = float(output["loss"])
    return math.inf if math.isnan(loss) else loss


def _first(rate: float | list[float]) -> float:
    return float(rate[0] if isinstance(rate, list) else rate)
