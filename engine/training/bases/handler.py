"""The base class of handlers: behaviour attached to the events of a run's engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.bases.phases import Phase

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
    """Whether it only reports: the training is the same without it. What fails in it is said and switches it off, and
    never stops the run. A replay leaves out what observes or writes."""
    uses_weights: ClassVar[bool] = False
    """Whether it uses the model, or its state. Where each process holds a part of the weights (``training.parallel:
    fsdp``), what observes or writes and uses them runs in every process, at once, and the first one alone may write."""
    watches: ClassVar[tuple[str, str] | None] = None
    """The names of its settings for the metric that it watches and for which way is better, min or max."""
    measures: ClassVar[tuple[str, ...]] = ()
    """The names of the metrics that it adds to the evaluations of its setting ``splits``."""
    keeps: ClassVar[tuple[str, ...]] = ()
    """The names of its settings for how many checkpoints it keeps; () if it saves none. What it watches says which
    checkpoint of the run is the best. One more is on the disk while it is written."""

    @classmethod
    def trains(cls) -> bool:
        """Whether it may affect the training: it does more than report and write. It then runs in every process."""
        return not (cls.observes or cls.writes)

    @abstractmethod
    def attach(self, run: Run) -> None:
        """Registers with the run. Called once, when the run is assembled and before its directory is claimed."""

    def start(self, run: Run) -> None:
        """Called when the run directory exists and any checkpoint has been loaded, before the first iteration."""

    def finish(self) -> bool | None:
        """Called when the training is complete; returns False if a stop interrupted it."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what must survive a restart: tensors, NumPy's arrays and numbers, None, truth values, numbers, texts,
        bytes, and lists, tuples, sets and dicts of them. Anything else is refused."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` returned."""

    @classmethod
    def lost(cls, directory: RunDirectory, state: dict[str, Any], iteration: int) -> str | None:
        """Returns what is missing, in one line, of the files that a handler of the class has written by an iteration.

        A run is not resumed from a checkpoint that something written before it is missing for: it goes back to an
        earlier one, at last to its start, and computes again what was lost.

        Args:
            directory: the run's directory.
            state: the handler's state in the checkpoint.
            iteration: the checkpoint's iteration.

        Returns:
            None if everything is there.
        """
        return None

    def flush(self) -> None:
        """Flushes buffers to disk. Called before a checkpoint becomes valid and at the end."""

    def close(self) -> None:
        """Called at the end of the run, however it ended."""
