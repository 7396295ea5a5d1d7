"""Sweeps: their trials are runs, and nothing of them is lost however they end."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

import firebox
from firebox.engine.commands.command_line import main
from firebox.engine.commands.train import trainers
from firebox.engine.search import study as studies
from firebox.engine.search.processes import PRELOADED, Stop, begin_checked, prepare, train_all
from firebox.engine.search.sweep_file import read_sweep
from firebox.engine.search.trial import directory_of, train_one
from firebox.foundation.problems import Refusal
from tests.soaking import SOAK, soak

TRIALS = 12 if SOAK else 4
RANDOM = f"""\
config: config.yaml
sampler: random
trials: {TRIALS}
space:
  optimizer.lr: {{low: 0.0001, high: 0.01, log: true}}
  model.latent_dim: [2, 4]
"""


def sweep_of(path):
    return read_sweep(path, trainers()["cae_baseline"])


def trials_of(sweep):
    return studies.load(sweep.folder).get_trials()


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


def kill_at(sweep, iteration):
    """Has a process train a trial up to an iteration, and kills it there."""
    Path("hold").write_text(str(iteration))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=train_one, args=(sweep, 0, False))
    process.start()
    wait_for(Path("held"))
    if iteration > 4:
        wait_for(directory_of(sweep, 0) / "checkpoints" / "iteration_00000004")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    Path("held").unlink()
    Path("hold").unlink()


def alone(trial, number=0):
    """Trains what a trial did, without a sweep, and returns its losses."""
    settings = {**trial.params, "model.latent_dim": int(trial.params["model.latent_dim"])}
    run = firebox.build("config.yaml", quiet=True, output={"root": f"alone_{number}"}, **settings)
    run.train()
    return (run.directory / "losses.jsonl").read_text()


def test_trials_killed_three_times_lose_nothing(write):
    sweep, stop = sweep_of(write(RANDOM)), Stop()
    assert prepare(sweep, stop) == 0
    for iteration in (2, 6, 7):  # there is a checkpoint after 4
        kill_at(sweep, iteration)
    cut_off = trials_of(sweep)
    assert [trial.state for trial in cut_off] == [TrialState.RUNNING]
    assert train_all(sweep, 2, stop, waits=True) == 0
    trials = trials_of(sweep)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    assert trials[0].params == cut_off[0].params and len({trial.params["optimizer.lr"] for trial in trials}) == TRIALS
    runs = [directory_of(sweep, trial.number) for trial in trials]
    assert sorted(Path("sweeps/sweep/runs/fashion_mini/linear_autoencoder").resolve().iterdir()) == sorted(runs)
    losses = (runs[0] / "losses.jsonl").read_text()
    assert [json.loads(row)["iteration"] for row in losses.splitlines() if '"train"' in row] == list(range(1, 9))
    assert "resumed from" in (runs[0] / "log.txt").read_text()
    assert losses == alone(trials[0])
    # The control: another trial has other losses.
    assert losses != alone(trials[1], 1)


def test_a_stop_saves_the_trials_which_go_on(write):
    sweep, stop = sweep_of(write(RANDOM.replace(f"trials: {TRIALS}", "trials: 1"))), Stop()
    assert prepare(sweep, stop) == 0
    Path("hold").write_text("slow")

    def ask():
        wait_for(sweep.folder / "runs/fashion_mini/linear_autoencoder/trial_0000/environment.json")
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    with stop.listening():
        asking.start()
        assert train_all(sweep, 1, stop, waits=True) == 143
    asking.join()
    (trial,) = trials_of(sweep)
    status = json.loads((directory_of(sweep, 0) / "status.json").read_text())
    assert trial.state == TrialState.RUNNING and status["status"] == "interrupted" and status["iteration"] < 8
    Path("hold").unlink()
    assert train_all(sweep, 1, Stop(), waits=True) == 0
    assert [trial.state for trial in trials_of(sweep)] == [TrialState.COMPLETE]


def test_settings_that_cant_work_are_failed_trials_before_the_first_one_starts(write, capfd):
    grid = "config: config.yaml\nsampler: grid\nspace:\n  training.device: [cpu, 'cuda:77']\n  model.latent_dim: [2]\n"
    sweep = sweep_of(write(grid))
    assert prepare(sweep, Stop()) == 0
    first, second = trials_of(sweep)
    assert (first.state, second.state) == (TrialState.WAITING, TrialState.FAIL)
    assert "sweep.yaml:4:26" in second.user_attrs["reason"] and "cuda:77" in second.user_attrs["reason"]
    assert main(["sweep", "sweep.yaml"]) == 0
    said = capfd.readouterr()
    assert "trial_0001 failed: " in said.err and "trial_0000" in said.out
    report = Path(said.out.splitlines()[-1])
    assert report == sweep.folder / "report.html" and "validation/loss" in report.read_text()
    # Nothing is left to do, nor may what is tried change.
    assert main(["sweep", "sweep.yaml", "--worker"]) == 0
    with pytest.raises(Refusal, match=r"latent_dim: got \['2', '3'\], but the sweep was begun with \['2'\]"):
        begin_checked(sweep_of(write(grid.replace("[2]", "[2, 3]"))))


def test_a_grid_of_which_nothing_can_work_is_refused_with_the_places(write):
    text = "config: config.yaml\nsampler: grid\nspace:\n  training.device: ['cuda:76', 'cuda:77']\n"
    sweep = sweep_of(write(text))
    sweep.folder.mkdir(parents=True)
    with pytest.raises(Refusal) as refused:
        begin_checked(sweep)
    first, *others = refused.value.problems
    assert first.message == "none of the 2 settings can work"
    assert [(each.mark.line, each.mark.column) for each in others] == [(4, 21), (4, 32)]


@pytest.mark.parametrize("pruner", ["name: median, startup_trials: 1", pytest.param("name: hyperband", marks=soak)])
def test_a_poor_trial_is_pruned(write, pruner):
    text = "config: config.yaml\nsampler: grid\nspace:\n  optimizer.lr: [0.001, 0.5]\n"
    sweep = sweep_of(write(text + f"pruner: {{{pruner}, after: 4 iterations}}\n"))
    assert prepare(sweep, Stop()) == 0 and train_all(sweep, 1, Stop(), waits=True) == 0
    good, poor = trials_of(sweep)
    assert (good.state, poor.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert good.intermediate_values.keys() == {4, 8} and poor.user_attrs["pruned_at"] == 4
    status = json.loads((directory_of(sweep, 1) / "status.json").read_text())
    assert (status["status"], status["iteration"]) == ("completed", 4) and "pruned" in status["reason"]


@soak
def test_a_poor_trial_that_is_trained_already_is_not_pruned(write):
    text = "config: config.yaml\nsampler: grid\nspace:\n  optimizer.lr: [0.001, 0.5]\n"
    sweep = sweep_of(write(text + "pruner: {name: median, startup_trials: 1, after: 8 iterations}\n"))
    assert prepare(sweep, Stop()) == 0 and train_all(sweep, 1, Stop(), waits=True) == 0
    assert [trial.state for trial in trials_of(sweep)] == [TrialState.COMPLETE] * 2
    status = json.loads((directory_of(sweep, 1) / "status.json").read_text())
    assert status["iteration"] == 8 and "pruned" not in status["reason"]


def test_a_trial_whose_process_dies_again_has_failed(write):
    sweep, stop = sweep_of(write(RANDOM.replace(f"trials: {TRIALS}", "trials: 1"))), Stop()
    assert prepare(sweep, stop) == 0
    Path("hold").write_text("die 2")
    assert train_all(sweep, 1, stop, waits=True) == 0
    (trial,) = trials_of(sweep)
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "its process died 2 times, the last time of SIGKILL"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_each_setting_is_repeated_over_seeds_and_drawn_by_its_number(write, sampler):
    drawn = []
    for folder in ("a", "b"):
        text = (
            RANDOM.replace("random", sampler).replace(f"trials: {TRIALS}", "trials: 2")
            + f"seeds: 3\nfolder: {folder}\n"
        )
        sweep = sweep_of(write(text))
        study = studies.begin(sweep)
        drawn.append([])
        while not isinstance(taken := studies.take(sweep, study), int):
            drawn[-1].append(taken.trial.params)
            repetition = taken.trial.number % 3
            assert f"seed={repetition}" in sweep.assignments(taken.trial.params, repetition)
            taken.lock.give_back()
            study.tell(taken.trial, 1.0)
        assert taken == 0
    assert drawn[0] == drawn[1] and len(drawn[0]) == 6
    assert drawn[0][0] == drawn[0][1] == drawn[0][2] != drawn[0][3] == drawn[0][4]


def assert_whole(path, runs):
    """Asserts that all twelve trials were completed, each with the losses of a run by itself."""
    trials = trials_of(sweep_of(path))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    for trial in trials:
        losses = (runs / f"trial_{trial.number:04d}" / "losses.jsonl").read_text()
        assert losses == alone(trial, trial.number)


@soak
def test_a_killed_command_goes_on(write):
    """The command is killed three times, wherever it is: twice with all of its processes, once alone."""
    path = write(RANDOM)
    command = [sys.executable, "-m", "firebox", "sweep", str(path), "--jobs", "2"]
    for count, kill in ((1, os.killpg), (4, os.kill), (8, os.killpg)):
        process = subprocess.Popen(command, start_new_session=True)
        runs = Path("sweeps/sweep/runs/fashion_mini/linear_autoencoder").absolute()
        wait_for(runs / f"trial_{count:04d}")
        kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1)
    assert subprocess.run(command).returncode == 0
    assert_whole(path, runs)


@soak
def test_what_a_killed_worker_had_is_taken_up_by_the_other(write):
    path = write(RANDOM)
    command = [sys.executable, "-m", "firebox", "sweep", str(path), "--worker"]
    killed, other = (subprocess.Popen(command, start_new_session=True) for _ in range(2))
    runs = Path("sweeps/sweep/runs/fashion_mini/linear_autoencoder").absolute()
    wait_for(runs / "trial_0003" / "losses.jsonl")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert other.wait() == 0
    assert subprocess.run(command).returncode == 0
    assert_whole(path, runs)
