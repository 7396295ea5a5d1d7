"""The mutable state of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from firebox.engine.records.run_directory import RunDirectory

if TYPE_CHECKING:
    from firebox.engine.records.tensorboard import TensorBoardWriter


@dataclass(slots=True)
class State:
    """The mutable state of a run, written by the run's own methods only.

    Args:
        directory: the run's directory; None before the run begins.
        writer: the TensorBoard writer; None before its first use.
        resumed_at: the iteration of the checkpoint that was loaded; 0 if none was.
        metrics: the latest value of each metric, by ``split/name``.
        tables: the latest evaluations' metrics that are not scalars, by ``split/name``.
        averaged_model: the model that is evaluated instead of the trained one; None if nothing averages weights.
        finished: why a handler ended the training before its last epoch; None if none did.
    """

    directory: RunDirectory | None = None
    writer: TensorBoardWriter | None = None
    resumed_at: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    averaged_model: torch.nn.Module | None = None
    finished: str | None = None
