"""Runs that are built, trained, stopped and resumed from Python."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading

import numpy
import pytest
import torch
from ignite.engine import Events

import firebox
from firebox.engine.commands.command_line import main
from firebox.engine.records import checkpoints

CONFIGURATION = """\
trainer: cae_baseline
datamodule: {name: fashion_mini, batch_size: 20, limit: 80}
model: {name: linear_autoencoder, latent_dim: 4}
module: {name: reconstruction}
training: {epochs: 2, device: cpu}
handlers:
  - image_dump: false
  - loss_plot: false
"""
FAILING = """\
from firebox import Handler


class Failing(Handler):
    def attach(self, run):
        run.every("3 iterations", self.fail, self.phase)

    def fail(self):
        raise RuntimeError("on purpose")
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    (tmp_path / "failing.py").write_text(FAILING)
    return tmp_path / "config.yaml"


def losses(directory):
    return (directory / "losses.jsonl").read_text()


def test_steps_a_training_a_resumed_one_and_the_shell_give_the_same_bits(config, capfd):
    trained = firebox.build(config, quiet=True)
    assert trained.directory is None and trained.iteration == 0
    metrics = trained.train()
    stepped = firebox.build(config, quiet=True)
    first = stepped.step()
    assert not stepped.ended and stepped.iteration == 1
    while not stepped.ended:
        stepped.step()
    with firebox.build(config, quiet=True) as closed:
        for _ in range(3):
            closed.step()
        numpy.random.rand(3), random.random(), torch.rand(3)  # what a program draws in between changes nothing
    assert firebox.runs()[-1]["status"] == "interrupted"
    resumed = firebox.resume(closed.directory, quiet=True)
    resumed.train()
    assert main(["train", "cae_baseline", "config.yaml", "--quiet"]) == 0
    directories = [trained.directory, stepped.directory, resumed.directory, config.parent / last_line(capfd)]
    assert len({losses(directory) for directory in directories}) == 1
    assert first["loss"] > 0 and metrics == dict(stepped.metrics)
    assert [checkpoints.iterations_in(directory / "checkpoints")[-1] for directory in directories] == [8] * 4
    # The control: another seed gives other bits.
    other = firebox.build(config, seed=8, quiet=True)
    other.train()
    assert losses(other.directory) != losses(trained.directory)


def last_line(capfd):
    return capfd.readouterr().out.splitlines()[-1]


def test_settings_are_given_as_maps_or_by_dotted_keys(config):
    run = firebox.build(config, seed=3, quiet=True, training={"epochs": 5}, **{"model.latent_dim": 6})
    assert (run.configuration.seed, run.configuration.training.epochs) == (3, 5)
    assert run.model.latent_dim == 6
    assert not (config.parent / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"latent_dmi": 3}}, "unknown key; did you mean latent_dim?"),
        ({"model": {"latent_dim": object}}, "expected what a configuration can hold"),
        ({"handlers": {"failing.py:Failng": {}}}, "Failng"),
    ],
)
def test_a_refusal_is_raised_with_the_text_that_the_shell_prints(config, capfd, settings, message):
    with pytest.raises(firebox.Refusal) as refused:
        firebox.build(config, quiet=True, **settings)
    assert message in str(refused.value)
    assert not (config.parent / "runs").exists()
    if settings["model" if "model" in settings else "handlers"] == {"latent_dmi": 3}:
        assert main(["train", "cae_baseline", "config.yaml", "--set", "model.latent_dmi=3"]) == 2
        assert str(refused.value) in capfd.readouterr().err


def test_a_failure_is_raised_with_the_text_that_the_shell_prints(config, capfd):
    run = firebox.build(config, quiet=True, handlers={"failing.py:Failing": {}})
    run.step(), run.step()
    with pytest.raises(firebox.TrainingFailure, match=r"RuntimeError: on purpose \(.*failing\.py:9\)") as failed:
        run.step()
    assert isinstance(failed.value.__cause__, RuntimeError)
    assert run.ended and firebox.runs()[-1]["status"] == "failed"
    assert "on purpose" not in capfd.readouterr().err
    assert main(["train", "cae_baseline", "config.yaml", "--set", "handlers.failing.py:Failing={}"]) == 1
    assert str(failed.value) in capfd.readouterr().err
    with pytest.raises(firebox.Refusal, match=r"has ended; firebox\.resume continues it"):
        run.step()


def test_a_signal_saves_and_is_raised_as_a_stop(config):
    run = firebox.build(config, quiet=True)
    for _ in range(2):
        run.step()
    run.parts.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(firebox.Stopped, match=r"stopped by SIGTERM at iteration 3; firebox\.resume\('runs/"):
        run.train()
    assert checkpoints.iterations_in(run.directory / "checkpoints") == [3]
    assert firebox.resume(run.directory, quiet=True).train()["test/loss"] > 0
    with pytest.raises(firebox.Refusal, match=r"is completed; firebox\.resume\(.*\"epochs\": 4"):
        firebox.resume(run.directory, quiet=True)


def state():
    """Everything of a program that a run takes while it is at work."""
    logger = logging.getLogger("firebox")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
    python, numpys = random.getstate(), numpy.random.get_state()
    return {
        "signals": handlers,
        "logging": (logger.handlers[:], logger.level, logger.propagate),
        "streams": (sys.stdout, sys.stderr),
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "random": python,
        "numpy": (numpys[1].tolist(), numpys[2]),
        "main": (sys.modules["__main__"].__spec__, getattr(sys.modules["__main__"], "__file__", None)),
    }


def test_what_a_run_takes_of_a_program_it_gives_back(config):
    logger, mine = logging.getLogger("firebox"), logging.NullHandler()
    logger.addHandler(mine)
    before, threads = state(), threading.enumerate()
    try:
        run = firebox.build(config, quiet=True)
        assert state() == before
        run.step()
        assert state() == before
        running = []
        run.parts.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: running.append(state()))
        run.step()
        run.train()
        assert state() == before
        with pytest.raises(firebox.Refusal):
            firebox.build(config, quiet=True, model={"x": 1})
        assert state() == before
    finally:
        logger.removeHandler(mine)
    # The control: while it is at work it has them.
    taken = [name for name in before if running[0][name] != before[name]]
    assert {"signals", "logging", "torch"} <= set(taken)
    assert [thread for thread in threading.enumerate() if thread not in threads] == []


def test_a_run_in_a_thread_trains_and_a_second_one_at_the_same_time_is_refused(config):
    first, second = firebox.build(config, quiet=True), firebox.build(config, quiet=True)
    inside, refused = threading.Event(), threading.Event()

    def meet():
        inside.set()
        assert refused.wait(30)

    first.parts.trainer.add_event_handler(Events.ITERATION_STARTED, meet)
    thread = threading.Thread(target=first.train)
    thread.start()
    assert inside.wait(30)
    with pytest.raises(firebox.Refusal, match="another run is at work in this process"):
        second.train()
    refused.set()
    thread.join(60)
    assert first.ended and first.metrics["test/loss"] > 0
    second.train()
    assert losses(first.directory) == losses(second.directory)


SCRIPT = """
import multiprocessing

import firebox

firebox.build("config.yaml", quiet=True)
multiprocessing.set_start_method("spawn")  # which a program may do once, unless something has chosen already
run = firebox.build(
    "config.yaml",
    quiet=True,
    datamodule={"workers": 1, "placement": "stream"},
    training={"epochs": 1},
    handlers={"evaluation": False, "checkpoint": False},
)
run.train()
print(run.iteration, multiprocessing.current_process().name)
"""


def test_a_script_without_a_guard_trains_once_under_spawn(config):
    script = config.parent / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 MainProcess"
    assert len(firebox.runs()) == 1
