"""Trains one trial of a sweep, as an ordinary run, and tells the study what came of it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.launch.admission import Request
from firebox.engine.launch.launch import launch_with
from firebox.engine.records.monitor import Monitor
from firebox.engine.records.recorded import recorded
from firebox.engine.records.run_directory import RunDirectory, is_run
from firebox.engine.search import study as studies
from firebox.engine.search.sweep_file import Sweep
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import Overdue
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED, STOPPED_BY
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, counted

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("firebox")

NOTHING_LEFT = 10
"""The exit code of a process that found no trial to train."""
POLL_SECONDS = 1.0


def train_one(sweep: Sweep, place: int, waits: bool) -> None:
    """Trains a trial in a process of its own, which it ends: with 0 for a trial whose end is in the study.

    Args:
        sweep: the sweep.
        place: number of the process among those at work at once, which chooses its device.
        waits: whether to wait for trials of other processes, to take up those that are cut off.
    """
    # A Ctrl-C is the sweep's, which passes it on; the run listens to it itself. The server that this process is forked
    # from blocks what stops a run, if workers that read data were the first to need it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPED_BY)
    _end_with_parent()
    _use_device(place)
    console.start(quiet=True)
    # What a run prints on standard output, its directory, is no result of the sweep.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = _train_one(sweep, waits)
    sys.exit(code)


def _train_one(sweep: Sweep, waits: bool) -> int:
    study = studies.load(sweep.folder)
    while isinstance(taken := studies.take(sweep, study), int):
        if not (taken and waits):
            return NOTHING_LEFT
        time.sleep(POLL_SECONDS)
    trial = taken.trial
    trial.set_user_attr(studies.PROCESS, studies.name_of(os.getpid()))
    path = directory_of(sweep, trial.number)
    try:
        code, reason = _launched(sweep, trial, path)
        if code not in (COMPLETED, FAILED, REFUSED):
            return code  # stopped, and to be resumed
        if code == REFUSED and path is not None:
            console.messages.print(f"{path} can't be resumed: {reason}", style="bold red", markup=False)
            return REFUSED
        _tell(sweep, study, trial, code, reason)
    finally:
        taken.lock.give_back()
    return COMPLETED


def directory_of(sweep: Sweep, number: int) -> Path | None:
    """Returns the directory of a trial's run; None if it has none yet."""
    found = (sweep.folder / "runs").glob(f"*/*/{studies.version(number)}")
    return next((path for path in found if is_run(path)), None)


def _launched(sweep: Sweep, trial: optuna.trial.Trial, path: Path | None) -> tuple[int, str]:
    """Trains a trial's run, from where it was cut off; returns the exit code and why it failed or was refused."""
    if path is not None:
        request = Request(sweep.trainer, None, resume=str(path), quiet=True)
    else:
        assignments = sweep.assignments(studies.assigned_by(trial), trial.number % sweep.settings.seeds)
        assignments.append(f"output.version={studies.version(trial.number)}")
        request = Request(sweep.trainer, sweep.config, assignments, quiet=True)
    stop = StopRequest()
    with stop.listening():
        try:
            code = launch_with(request, stop)
        except (Overdue, Interrupted):
            return stop.exit_code, ""
        except BaseException as error:
            return REFUSED, str(sweep.located(refusal_of(error), studies.assigned_by(trial)))
    path = directory_of(sweep, trial.number)
    return code, "" if path is None else RunDirectory(path).status().reason


def _tell(sweep: Sweep, study: optuna.Study, trial: optuna.trial.Trial, code: int, reason: str) -> None:
    """Tells the study how a trial ended, and shows it."""
    from optuna.trial import TrialState

    value = best_value(sweep, trial.number)
    attributes = study.get_trials(deepcopy=False)[trial.number].user_attrs  # the trial itself remembers older ones
    if code == COMPLETED and value is None:
        code, reason = FAILED, f"{sweep.settings.monitor} was not measured"
    if code != COMPLETED:
        trial.set_user_attr(studies.REASON, reason)
        study.tell(trial, state=TrialState.FAIL)
        outcome = f"failed: {reason}"
    elif studies.PRUNED in attributes:
        study.tell(trial, state=TrialState.PRUNED)
        outcome = f"pruned at iteration {attributes[studies.PRUNED]:,}"
    else:
        study.tell(trial, value)
        outcome = f"{sweep.settings.monitor} {value:.6g}"
    ended = sum(each.state.is_finished() for each in study.get_trials(deepcopy=False))
    chosen = ", ".join(f"{key} {value}" for key, value in studies.assigned_by(trial).items())
    text = f"{studies.version(trial.number)} ({chosen}): {outcome}; {ended} of {counted(sweep.number, 'trial')}"
    console.messages.print(text, markup=False)


def best_value(sweep: Sweep, number: int) -> float | None:
    """Returns the best finite value of the monitored metric in a trial's run; None if it was not measured."""
    path = directory_of(sweep, number)
    if path is None:
        return None
    monitor = Monitor(sweep.settings.monitor, sweep.settings.mode)
    values = [each.metrics[monitor.metric] for each in recorded(path).evaluations if monitor.metric in each.metrics]
    return min(values, key=monitor.rank, default=None)


def _end_with_parent() -> None:
    """Has this process stop, saving a checkpoint, when the sweep's own process is gone, however that ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="sweep", daemon=True).start()


def _use_device(place: int) -> None:
    """Leaves one of several GPUs visible, in turn; it is the first for torch, and configurations don't differ in it."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = given.split(",") if given else [str(number) for number in range(torch.cuda.device_count())]
    if len(visible) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[place % len(visible)]
