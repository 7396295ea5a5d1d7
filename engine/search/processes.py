"""The processes of a sweep: one that checks a grid, and those that train its trials, several at once."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import FrameType
from typing import Any

from firebox.engine.search import study as studies
from firebox.engine.search.sweep_file import Sweep
from firebox.engine.search.trial import NOTHING_LEFT, train_one
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED, STOPPED_BY
from firebox.foundation.problems import Problem, Refusal, counted, printable_lines

PRELOADED = [
    *("optuna", "optuna.storages._rdb.storage"),
    *("firebox.engine.training.factory", "firebox.engine.checks.report", "firebox.engine.checks.rehearsal"),
    *("firebox.engine.records.tensorboard", "firebox.engine.search.trial"),
]
"""Imported once, by the process that all others are forked from; it holds no threads and no device."""


class Stop:
    """Passes a signal that asks for a stop on to the processes at work, each of which saves a checkpoint and ends."""

    def __init__(self) -> None:
        self.processes: dict[int, ForkServerProcess] = {}
        self.signal: signal.Signals | None = None

    def received(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for process in self.processes.values():
            if process.pid is not None and process.is_alive():
                process.terminate()

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.received) for number in STOPPED_BY}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def prepare(sweep: Sweep, stop: Stop) -> int:
    """Begins the study; a grid is checked whole before its first trial. Returns the exit code."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    process = _started(_context(), _prepare, sweep)
    stop.processes = {0: process}
    process.join()
    if stop.signal is not None:
        return STOPPED_BY[stop.signal]
    return process.exitcode or COMPLETED


def train_all(sweep: Sweep, jobs: int, stop: Stop, *, waits: bool) -> int:
    """Trains trials, as many at once as there are jobs, until none is left. Returns the exit code.

    Args:
        sweep: the sweep, which has a study.
        jobs: number of processes at once.
        stop: the stop that signals set.
        waits: whether to wait for trials that other sweeps train.
    """
    context, at_work = _context(), stop.processes
    at_work.clear()
    more, code = True, COMPLETED
    while at_work or (more and stop.signal is None):
        for place in range(jobs if more and stop.signal is None else 0):
            if place not in at_work:
                at_work[place] = _started(context, train_one, sweep, place, waits)
        connection.wait([process.sentinel for process in at_work.values()])
        for place, process in list(at_work.items()):
            if process.is_alive():
                continue
            process.join()
            del at_work[place]
            if process.exitcode == NOTHING_LEFT:
                more = False
            elif process.exitcode == REFUSED:
                more, code = False, REFUSED
            elif process.exitcode and stop.signal is None:
                _died(sweep, process)
    return code if stop.signal is None else STOPPED_BY[stop.signal]


def _died(sweep: Sweep, process: ForkServerProcess) -> None:
    assert process.exitcode is not None and process.pid is not None
    how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"an error, with {process.exitcode}"
    console.messages.print(f"the process of a trial died of {how}", style="yellow", markup=False)
    studies.note_death(sweep.folder, process.pid, how)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _started(context: ForkServerContext, target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def _prepare(sweep: Sweep) -> None:
    console.start(quiet=True)
    try:
        begin_checked(sweep)
    except Refusal as refusal:
        console.problems(refusal)
        sys.exit(REFUSED)


def begin_checked(sweep: Sweep) -> None:
    """Begins the study of a sweep, or goes on with it; a grid is checked by all guards.

    Raises:
        Refusal: no setting of the grid can work, or the study was begun with another sweep.
    """
    with studies.turn(sweep.folder):
        study = studies.begin(sweep)
        if sweep.is_grid and len(study.get_trials(deepcopy=False)) < sweep.number:
            studies.begin(sweep, _refused(sweep))


def _refused(sweep: Sweep) -> dict[int, str]:
    """Returns why settings of a grid can't work, by their number.

    Raises:
        Refusal: none of them can.
    """
    from firebox.engine.checks.report import preflight

    found: dict[int, Refusal] = {}
    grid = sweep.grid()
    for number, assigned in enumerate(grid):
        try:
            preflight(sweep.configuration(assigned), sweep.trainer)
        except Refusal as refusal:
            found[number] = sweep.located(refusal, assigned)
    if len(found) == len(grid):
        alike = dict.fromkeys(problem for each in found.values() for problem in each.problems)
        raise Refusal([Problem("", f"none of the {counted(len(grid), 'setting')} can work"), *alike])
    reasons = {number: str(refusal) for number, refusal in found.items()}
    for number, reason in reasons.items():
        chosen = ", ".join(f"{key} {value}" for key, value in grid[number].items())
        console.messages.print(f"refused: {chosen}\n{printable_lines(reason)}", style="yellow", markup=False)
    return reasons
