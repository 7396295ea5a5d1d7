"""Kill a run at any instant, resume it: everything it leaves is what the run that was never stopped leaves."""

import os
import random
import shutil
import signal
import time

import pytest
import torch
import yaml
from ignite.engine import Events

from firebox.engine.components.catalogue import default_handlers
from firebox.engine.records import checkpoints
from firebox.foundation.randomness import EpochOrder, IterationSeeder, generator
from tests.exactness import (
    EPOCH_LENGTH,
    ITERATIONS,
    Forked,
    differences,
    kill_at,
    only_run,
    output,
    resumed_to_the_end,
    run_script,
    with_handler,
    write_configuration,
)
from tests.soaking import SOAK, soak

SHORT = {"training": {"epochs": 2}}


def test_two_runs_of_one_configuration_are_equal(reference, tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration)).wait() == 0
    assert differences(reference, only_run(tmp_path)) == []


# The first and last iterations, those around a checkpoint (every 7), an epoch's end (every 19) and a log's (every 5).
@pytest.mark.parametrize("iteration", range(1, ITERATIONS + 1) if SOAK else [1, 7, 19, 20, 57])
def test_a_run_killed_after_an_iteration_resumes_exactly(reference, tmp_path, iteration):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=kill_at(iteration)).wait() == -signal.SIGKILL
    assert differences(reference, resumed_to_the_end(configuration)) == []


@pytest.mark.parametrize(
    "every", ["1 epoch", pytest.param("19 iterations", marks=soak), pytest.param("1 iterations", marks=soak)]
)
def test_a_checkpoint_at_an_epochs_last_iteration_repeats_and_skips_nothing(tmp_path, every):
    whole, stopped = (write_configuration(tmp_path / name, SHORT) for name in ("whole", "stopped"))
    for configuration in (whole, stopped):
        text = configuration.read_text().replace("every: 7 iterations", f"every: {every}")
        configuration.write_text(text)
    assert Forked(str(whole)).wait() == 0

    def kill_when_written(run):
        if run.iteration == EPOCH_LENGTH + 1:
            run.background.drain()
            os.kill(os.getpid(), signal.SIGKILL)

    prepare = with_handler(Events.ITERATION_COMPLETED, kill_when_written)
    assert Forked(str(stopped), prepare=prepare).wait() == -signal.SIGKILL
    assert EPOCH_LENGTH in checkpoints.iterations_in(only_run(tmp_path / "stopped") / "checkpoints")
    resumed = resumed_to_the_end(stopped)
    assert "resumed from" in output(stopped)
    assert differences(only_run(tmp_path / "whole"), resumed) == []


def test_two_resumes_within_one_epoch_are_exact(reference, tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=kill_at(23)).wait() == -signal.SIGKILL
    assert Forked(str(configuration), "--resume", prepare=kill_at(30)).wait() == -signal.SIGKILL
    assert Forked(str(configuration), "--resume", prepare=kill_at(37)).wait() == -signal.SIGKILL
    assert differences(reference, resumed_to_the_end(configuration)) == []


def kill_at_random(reference, tmp_path, draw, *, start=run_script, changes=None, most_kills=3):
    """Starts a run, kills it at random instants, resumes it to the end; returns kills made and what differs."""
    configuration = write_configuration(tmp_path, changes)
    kills, resume = 0, []
    for _ in range(draw.randint(1, most_kills)):
        process = start(str(configuration), *resume)
        losses = None
        while losses is None and process.poll() is None:
            losses = next(iter((tmp_path / "runs").glob("*/*/*/log.txt")), None)
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2.5))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
        resume = ["--resume"] if any((tmp_path / "runs").glob("*/*/*/config.yaml")) else []
    process = start(str(configuration), *resume)
    assert process.wait() == 0, output(configuration)
    return kills, differences(reference, only_run(tmp_path))


@pytest.mark.parametrize("seed", range(2 if SOAK else 1))
def test_the_real_script_killed_at_random_instants_resumes_exactly(reference, tmp_path, seed):
    _, differing = kill_at_random(reference, tmp_path, random.Random(seed), most_kills=3 if SOAK else 1)
    assert differing == []


@pytest.mark.skipif(not SOAK, reason="takes half an hour: make soak")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_hundred_kills_of_a_run_leave_no_trace(reference, tmp_path, workers):
    draw = random.Random(workers)
    kills = 0
    while kills < 100:
        folder = tmp_path / "run"
        changes = {"datamodule": {"workers": workers, "placement": "stream"}} if workers else {}
        made, differing = kill_at_random(reference, folder, draw, changes=changes)
        kills += made
        assert differing == [], f"after {kills} kills"
        shutil.rmtree(folder)
    print(f"workers {workers}: {kills} kills, nothing differs")


# Negative controls: the harness must notice when a mechanism is switched off.


def no_seeding():
    IterationSeeder.__call__ = lambda self, iteration: None


def consumed_order():
    """Orders drawn one after another, as a sampler does that is not told where the run is."""
    shared = generator(0, "consumed")

    def indices(self, epoch, start, stop):
        if epoch != self._epoch:
            self._permutation = torch.randperm(self.length, generator=shared)
            self._epoch = epoch
        return self._permutation[start:stop] if self._shuffle else torch.arange(start, stop)

    EpochOrder.indices = indices


def no_boundary_rule(run):
    """Saves at an epoch's last iteration before the epoch's other work, as a handler on ITERATION_COMPLETED does."""
    if run.iteration == EPOCH_LENGTH:
        run.dispatcher.save_on_stop()
        run.background.drain()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("sabotage", [no_seeding, consumed_order], ids=lambda s: s.__name__)
def test_the_harness_notices_when_a_mechanism_is_off(tmp_path, sabotage):
    whole, stopped = (write_configuration(tmp_path / name, SHORT) for name in ("whole", "stopped"))

    def killed_after_sabotage():
        sabotage()
        kill_at(30)()

    assert Forked(str(whole), prepare=sabotage).wait() == 0
    assert Forked(str(stopped), prepare=killed_after_sabotage).wait() == -signal.SIGKILL
    resumed = resumed_to_the_end(stopped, prepare=sabotage)
    assert any(name.startswith("checkpoint") for name in differences(only_run(tmp_path / "whole"), resumed))


def test_the_harness_notices_when_the_boundary_rule_is_off(reference, tmp_path):
    configuration = write_configuration(tmp_path)
    process = Forked(str(configuration), prepare=with_handler(Events.ITERATION_COMPLETED, no_boundary_rule))
    assert process.wait() == -signal.SIGKILL
    assert "losses.jsonl" in differences(reference, resumed_to_the_end(configuration))


# Handlers change nothing in the training.


def test_handlers_do_not_change_training(reference, tmp_path):
    off = ["image_dump", "evaluation", "early_stopping", "ema", "progress", "model_summary", "terminate_on_nan"]
    configuration = write_configuration(tmp_path)
    content = yaml.safe_load(configuration.read_text())
    kept = [entry for entry in content["handlers"] if next(iter(entry)) not in off]
    content["handlers"] = kept + [{name: False} for name in default_handlers() if name in off]
    configuration.write_text(yaml.safe_dump(content))
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    final = f"iteration_{ITERATIONS:08d}"
    left, right = (checkpoints.load(run / "checkpoints" / final) for run in (reference, only_run(tmp_path)))
    assert all(torch.equal(left["model"][name], right["model"][name]) for name in left["model"])
