"""What every handler is: behaviour attached to the events of a run's engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from firebox.engine.training.phases import Phase

if TYPE_CHECKING:
    from firebox.engine.training.run import Run


class Handler(ABC):
    """A handler. Its constructor's keyword parameters are its settings in a configuration.

    A subclass says in which ``phase`` it acts and asks, in ``attach``, to be called: at intervals by ``run.every``,
    after each evaluation by ``run.after_evaluation``, or on any of Ignite's events by ``run.trainer`` and
    ``run.evaluator``. What it remembers from one iteration to the next it returns from ``state_dict``: that is saved in
    every checkpoint under the handler's name and given back on resuming.
    """

    phase: ClassVar[Phase] = Phase.LOG
    writes: ClassVar[tuple[str, ...]] = ()
    """Files and folders below the run's directory that it alone writes."""
    observes: ClassVar[bool] = False
    """Whether it only reports: the training is the same without it. A replay leaves out what observes or writes."""
    watches: ClassVar[tuple[str, str] | None] = None
    """The names of its settings for the metric that it watches and for which way is better, min or max."""
    keeps: ClassVar[tuple[str, ...]] = ()
    """The names of its settings for how many checkpoints it keeps; () if it saves none. What it watches says which
    checkpoint of the run is the best. One more is on the disk while it is written."""

    @abstractmethod
    def attach(self, run: Run) -> None:
        """Registers with the run. Called once, when the run is assembled and before its directory is claimed."""

    def start(self, run: Run) -> None:
        """Called when the run directory exists and any checkpoint has been loaded, before the first iteration."""

    def finish(self) -> bool | None:
        """Called when the training is complete; returns False where a stop came in between."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what must survive a restart: tensors, numbers, texts, lists and maps of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` returned."""

    def flush(self) -> None:
        """Brings to disk what is buffered. Called before a checkpoint becomes valid and at the end."""

    def close(self) -> None:
        """Called at the end of the run, however it ended."""
