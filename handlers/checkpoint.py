"""Saves the run, keeps the last and the best, prunes the rest."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from firebox.engine.records import checkpoints
from firebox.engine.records.monitor import Monitor, ranked
from firebox.engine.training.handler import Handler
from firebox.engine.training.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval


class Checkpoint(Handler):
    """Saves the run, keeps the last and the best, prunes the rest: the one owner of the run's checkpoints.

    What to keep is read from the disk each time, so it survives any restart. The checkpoint that a run was resumed
    from is never pruned by it.

    Args:
        every: how often to save.
        keep_last: how many of the newest to keep.
        keep_best: how many of the best by ``monitor`` to keep.
        monitor: the metric that says which is best.
        mode: whether less or more of it is better.
        background: write while training goes on; at most one is being written, and one that fails stops the run.
    """

    phase = Phase.CHECKPOINT
    writes = ("checkpoints",)
    watches = ("monitor", "mode")
    keeps = ("keep_last", "keep_best")

    def __init__(
        self,
        *,
        every: Interval = "1 epoch",
        keep_last: PositiveInt = 2,
        keep_best: NonNegativeInt = 1,
        monitor: str = "validation/loss",
        mode: Literal["min", "max"] = "min",
        background: bool = True,
    ) -> None:
        self.every = every
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.monitor = monitor
        self.background = background
        self._monitor = Monitor(monitor, mode)
        self._saved: tuple[int, bool] | None = None
        self._resumed_from: int | None = None
        self._writing = 0

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, self.save, self.phase)
        if self.keep_best:
            run.after_evaluation(self._save_best, self.phase)
        run.on_stop(self.save)

    def start(self, run: Run) -> None:
        if run.iteration:
            self._resumed_from = run.iteration
            self._saved = (run.iteration, run.dispatcher.pending)
        checkpoints.clean(run.directory.checkpoints)

    def finish(self) -> None:
        self.save()

    def save(self) -> None:
        """Saves the run as it is now.

        Raises:
            SaveError: it, or the one before it, could not be written.
        """
        run = self._run
        position = (run.iteration, run.dispatcher.pending)
        if position == self._saved:
            return
        self._saved = position
        # What was written before must be on disk before the checkpoint is: resuming cuts the logs at its iteration.
        for handler in run.handlers.values():
            handler.flush()
        metrics = {k: v for k, v in run.metrics.items() if k.startswith("validation/")} if run.evaluated else {}
        run.background.wait(self._writing)
        state = checkpoints.snapshot(run.state_dict())
        self._writing = run.background.submit(self._write, state, run.iteration, run.epoch, metrics)
        if not self.background:
            run.background.wait(self._writing)

    def _write(self, state: dict[str, object], iteration: int, epoch: int, metrics: dict[str, float]) -> None:
        folder = self._run.directory.checkpoints
        digest = self._run.configuration.digest
        checkpoints.save(folder, state, iteration=iteration, epoch=epoch, metrics=metrics, configuration=digest)
        self._prune()

    def _save_best(self) -> None:
        value = self._run.metrics.get(self.monitor)
        if value is None or self._saved == (self._run.iteration, self._run.dispatcher.pending):
            return
        self._run.background.wait(self._writing)
        manifests = checkpoints.valid_manifests(self._run.directory.checkpoints)
        best = ranked(manifests, self._monitor)[: self.keep_best]
        rank = self._monitor.rank
        if len(best) < self.keep_best or rank(value) < rank(best[-1].metrics[self.monitor]):
            self.save()

    def _prune(self) -> None:
        folder = self._run.directory.checkpoints
        manifests = checkpoints.valid_manifests(folder)
        kept = {manifest.iteration for manifest in manifests[-self.keep_last :]}
        kept |= {manifest.iteration for manifest in ranked(manifests, self._monitor)[: self.keep_best]}
        for manifest in manifests:
            if manifest.iteration not in kept and manifest.iteration != self._resumed_from:
                checkpoints.remove(checkpoints.path_of(folder, manifest.iteration))
