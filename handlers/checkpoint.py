"""Saves checkpoints: keeps the last and the best, and removes the others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from firebox.engine.configuration.identity import digest_of
from firebox.engine.records import checkpoints
from firebox.engine.records.checkpoints import Manifest
from firebox.engine.records.monitor import Monitor, ranked
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval

logger = logging.getLogger("firebox")


class Checkpoint(Handler):
    """Saves checkpoints, keeps the last and the best, and removes the others.

    Which checkpoints to keep is decided from what is on the disk each time, so the decision survives any restart.
    Damaged checkpoints neither count nor are removed; nor are checkpoints of later iterations, which exist where a run
    went back to an earlier checkpoint. The checkpoint that a run was resumed from is never removed by that run. The
    first checkpoint that a process saves is loaded back before it counts as saved.

    Args:
        every: interval between checkpoints.
        keep_last: number of the newest checkpoints to keep.
        keep_best: number of the best checkpoints by ``monitor`` to keep.
        monitor: metric that decides which checkpoint is best.
        mode: whether a smaller (min) or a larger (max) value of the metric is better.
        background: write checkpoints while training goes on, at most one at a time; a failed write stops the run.
    """

    phase = Phase.CHECKPOINT
    writes = ("checkpoints",)
    uses_weights = True
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
        self._read_back = False
        self._seen: dict[int, tuple[tuple[int, ...], bool]] = {}
        """By iteration: what distinguishes a file from one that replaces it, and whether its content was intact."""

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
        if run.world.leads:
            checkpoints.clean(run.directory.checkpoints)

    def finish(self) -> None:
        self.save()

    def save(self) -> None:
        """Saves the run as it is now.

        Raises:
            SaveError: this checkpoint, or the previous one, could not be written.
            UnstorableState: part of the run has a state that a checkpoint can't hold.
        """
        run = self._run
        position = (run.iteration, run.dispatcher.pending)
        if position == self._saved:
            return
        self._saved = position
        # What was written before must be on disk before the checkpoint is: resuming cuts the logs at its iteration.
        for name, handler in run.handlers.items():
            with run.stop.limit(f"handlers.{name}: flush"):
                run.observers.act(name, handler.flush)
        metrics = {k: v for k, v in run.metrics.items() if k.startswith("validation/")} if run.evaluated else {}
        run.background.wait(self._writing)
        state = run.snapshot()
        if not run.world.leads:
            return  # it has given its part of the weights
        data = run.identity.fingerprint.digests
        self._writing = run.background.submit(self._write, state, run.iteration, run.epoch, metrics, data)
        if not self.background:
            run.background.wait(self._writing)

    def _write(
        self,
        state: dict[str, object],
        iteration: int,
        epoch: int,
        metrics: dict[str, float],
        data: dict[str, str | None],
    ) -> None:
        folder = self._run.directory.checkpoints
        path = checkpoints.save(
            folder,
            state,
            iteration=iteration,
            epoch=epoch,
            metrics=metrics,
            configuration=digest_of(self._run.configuration),
            data=data,
            read_back=not self._read_back,
        )
        self._read_back = True
        self._seen[iteration] = (_mark(path), True)
        self._prune(iteration)

    def _save_best(self) -> None:
        value = self._run.metrics.get(self.monitor)
        if value is None or self._saved == (self._run.iteration, self._run.dispatcher.pending):
            return
        world = self._run.world
        better = self._is_better(value) if world.leads else None
        if world.broadcast(better) if self._run.spreads else better:
            self.save()

    def _is_better(self, value: float) -> bool:
        self._run.background.wait(self._writing)
        best = ranked(self._intact(self._run.iteration - 1), self._monitor)[: self.keep_best]
        rank = self._monitor.rank
        return len(best) < self.keep_best or rank(value) < rank(best[-1].metrics[self.monitor])

    def _prune(self, iteration: int) -> None:
        manifests = self._intact(iteration)
        kept = {manifest.iteration for manifest in manifests[-self.keep_last :]}
        kept |= {manifest.iteration for manifest in ranked(manifests, self._monitor)[: self.keep_best]}
        for manifest in manifests:
            if manifest.iteration not in kept and manifest.iteration != self._resumed_from:
                checkpoints.remove(checkpoints.path_of(self._run.directory.checkpoints, manifest.iteration))

    def _intact(self, until: int) -> list[Manifest]:
        """Returns the manifests of the intact checkpoints up to an iteration.

        A file's content is verified once, and again only if the file has changed; files that this process wrote are
        not read at all.
        """
        folder = self._run.directory.checkpoints
        return [
            manifest
            for manifest in checkpoints.valid_manifests(folder)
            if manifest.iteration <= until
            and self._is_intact(checkpoints.path_of(folder, manifest.iteration), manifest)
        ]

    def _is_intact(self, path: Path, manifest: Manifest) -> bool:
        mark = _mark(path)
        seen, intact = self._seen.get(manifest.iteration, ((), False))
        if seen != mark:
            try:
                checkpoints.verify(path)
                intact = True
            except checkpoints.DamagedCheckpoint as error:
                logger.warning("damaged checkpoint, which counts neither as one of the last nor as the best: %s", error)
                intact = False
            self._seen[manifest.iteration] = (mark, intact)
        return intact


def _mark(path: Path) -> tuple[int, ...]:
    """Returns what changes when a checkpoint's state file is written to or replaced."""
    status = (path / checkpoints.STATE).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
