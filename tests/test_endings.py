"""A stop always works and a wait always ends, whatever hangs; what was taken over is given back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from ignite.engine import Events

from firebox.engine.records import checkpoints
from firebox.engine.training.limits import watch
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation import background
from tests.exactness import FORK, Forked, only_run, output, start_python, with_handler

DATA = '''
import time
from pathlib import Path
import torch
from firebox import DataModule, ImageSpecification
from firebox.data.sources.source import DatasetImages


class Samples(torch.utils.data.Dataset):
    def __init__(self, length, block_at, seconds):
        self.length, self.block_at, self.seconds = length, block_at, seconds

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.block_at:
            Path(__file__).with_name("blocks").touch()
            time.sleep(1000)
        time.sleep(self.seconds)
        return torch.full((1, 8, 8), index, dtype=torch.uint8)


class Slow(DataModule):
    """Images that take their time."""

    def __init__(self, *, block_at: int = -1, seconds: float = 0.0) -> None:
        self.block_at, self.seconds = block_at, seconds

    @property
    def specification(self):
        return ImageSpecification((1, 8, 8))

    @property
    def split_lengths(self):
        return {"train": 90, "validation": 20}

    def read(self, split):
        block_at = self.block_at if split == "train" else -1
        return DatasetImages(Samples(self.split_lengths[split], block_at, self.seconds))
'''

HANDLER = '''
import time
from firebox import Handler


class Hanging(Handler):
    """A handler that hangs where it is told to."""

    def __init__(self, *, where: str, deaf: bool = False) -> None:
        self.where, self.deaf, self.flushes = where, deaf, 0

    def attach(self, run):
        self.run = run
        run.every("1 iteration", self.act, self.phase)

    def hang(self, where):
        while where == self.where:
            try:
                time.sleep(1000)
            except Exception:
                if not self.deaf:
                    raise

    def act(self):
        if self.run.iteration == 5:
            self.hang("act")
            if self.where == "job":
                self.run.background.submit(self.write)

    def write(self):
        time.sleep(1000)

    def flush(self):
        if self.run.stop.requested or self.run.iteration == 18:
            self.hang("flush")

    def close(self):
        self.hang("close")
'''

SCRIPT = """
import multiprocessing

from firebox.engine.commands.command_line import run_trainer
from firebox.trainers.train_cae_baseline import TRAINER

{guard}
    multiprocessing.set_start_method({method!r}, force=True)
    run_trainer(TRAINER)
"""
GUARD = 'if __name__ == "__main__":'


def write(folder, *, epochs=2, handlers=(), name="slow_data.py:Slow", **data):
    """Writes a configuration, the data set and the handler that it names, and returns its path."""
    (folder / "slow_data.py").write_text(DATA)
    (folder / "hanging.py").write_text(HANDLER)
    content = {
        "trainer": "cae_baseline",
        "seed": 3,
        "datamodule": {"name": name, "batch_size": 10, "placement": "stream", **data},
        "model": {"name": "linear_autoencoder", "latent_dim": 4},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "adam", "lr": 0.002},
        "training": {"epochs": epochs, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [{"image_dump": False}, *handlers],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def status(folder):
    return json.loads((only_run(folder) / "status.json").read_text())


def saved(folder):
    return checkpoints.iterations_in(only_run(folder) / "checkpoints")


def await_rows(folder, count=1, seconds=120.0):
    """Waits until a run has logged so many rows."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        files = list(folder.glob("runs/*/*/*/losses.jsonl"))
        if files and files[0].read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"no row within {seconds:g} s")


def started(folder, *command, method="fork", guard=GUARD):
    """Starts a script in a process group of its own, as systemd and the like do."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(method=method, guard=guard))
    if guard == GUARD and not command:
        with (folder / "output.txt").open("a") as log:
            return start_python(script, folder / "config.yaml", output=log, new_session=True)
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{folder}"}
    with (folder / "output.txt").open("a") as log:
        return subprocess.Popen(
            [*command, sys.executable, str(script), str(folder / "config.yaml")],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            # A hang-up may be ignored where the tests are run, as under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_stop_of_the_whole_process_group_saves_with_workers(tmp_path, method):
    workers = 1 if method == "spawn" else 2
    configuration = write(tmp_path, epochs=3000, name="slow_data:Slow", workers=workers, seconds=0.001)
    process = started(tmp_path, method=method)
    await_rows(tmp_path, 1)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143, output(configuration)
    found = status(tmp_path)
    assert (found["status"], found["reason"]) == ("interrupted", "stopped by SIGTERM")
    assert saved(tmp_path)[-1] == found["iteration"] > 0
    assert "DataLoader worker" not in output(configuration)


def test_a_hang_up_stops_a_run_and_under_nohup_does_not(tmp_path):
    nohup = shutil.which("nohup")
    for command, code in (((), 143), ((nohup,), 0)):
        folder = tmp_path / str(code)
        folder.mkdir()
        configuration = write(folder, epochs=40, seconds=0.001)
        process = started(folder, *command)
        await_rows(folder)
        os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(120) == code, output(configuration)
    assert status(tmp_path / "143")["reason"] == "stopped by SIGHUP"
    assert status(tmp_path / "0")["status"] == "completed"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_does_not_wait_for_a_data_set_that_blocks(tmp_path, workers):
    configuration = write(tmp_path, block_at=17, workers=workers)

    def prepare():
        watch.READING_SECONDS = 0.5

    process = Forked(str(configuration), prepare=prepare)
    ends = time.monotonic() + 120
    while not (tmp_path / "blocks").exists() and time.monotonic() < ends:
        time.sleep(0.1)
    time.sleep(1)  # it may still go on with what has been read ahead
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143, output(configuration)
    found = status(tmp_path)
    assert (found["status"], found["reason"]) == ("interrupted", "stopped by SIGTERM")
    assert found["iteration"] < 9
    assert saved(tmp_path)[-1:] == [found["iteration"]][: found["iteration"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_that_blocks_fails_the_run_at_the_time_limit_and_is_named(tmp_path, workers):
    configuration = write(tmp_path, block_at=17, workers=workers, timeout=2.0)

    def prepare():
        watch.LOOK_SECONDS = 0.5

    assert Forked(str(configuration), prepare=prepare).wait() == 1, output(configuration)
    reason = status(tmp_path)["reason"]
    assert reason.startswith("no batch within 2 s")
    assert "longer timeout" in reason
    assert workers or "__getitem__" in reason
    assert "Traceback" not in output(configuration)


def test_a_data_set_that_blocks_at_its_first_samples_is_refused_at_the_time_limit(tmp_path):
    configuration = write(tmp_path, block_at=2, timeout=1.0)

    def prepare():
        watch.LOOK_SECONDS = 0.5

    assert Forked(str(configuration), prepare=prepare).wait() == 2, output(configuration)
    assert "its train split: no batch within 1 s" in output(configuration)
    assert not (tmp_path / "runs").exists()


def hanging(where, deaf=False):
    return {"hanging.py:Hanging": {"where": where, "deaf": deaf}}


def soon():
    """Shortens the limits to a second."""
    watch.STEP_SECONDS = watch.STOP_SECONDS = 1.0
    watch.UNWINDING_SECONDS = watch.LOOK_SECONDS = 1.0


@pytest.mark.parametrize("where", ["flush", "close"])
@pytest.mark.parametrize("deaf", [False, True], ids=["heard", "not_heard"])
def test_a_handler_that_hangs_at_the_end_is_left_and_named(tmp_path, where, deaf):
    configuration = write(tmp_path, handlers=[hanging(where, deaf)])
    assert Forked(str(configuration), prepare=soon).wait() == 1, output(configuration)
    found = status(tmp_path)
    assert found["status"] == "failed"
    assert f"{where} has not ended within 1 s" in found["reason"]
    assert "Hanging" in found["reason"]
    # What hangs in the flush before a checkpoint keeps it from becoming valid.
    assert saved(tmp_path)[-1] == {"close": 18, "flush": 9}[where]
    assert "Traceback" not in output(configuration)


@pytest.mark.parametrize("where", ["act", "close", "job"])
def test_a_stop_ends_a_run_in_which_something_hangs(tmp_path, where):
    configuration = write(tmp_path, handlers=[{"checkpoint": {"every": "4 iterations"}}, hanging(where)])

    def prepare():
        def stop(run):
            run.background.drain()  # whose jobs may take longer where much else is going on
            if where == "job":
                background.JOB_SECONDS = 1.0
            os.kill(os.getpid(), signal.SIGTERM)

        soon()
        with_handler(Events.ITERATION_STARTED(once=5), stop)()

    assert Forked(str(configuration), prepare=prepare).wait() == (1 if where == "job" else 143), output(configuration)
    found = status(tmp_path)
    if where == "job":
        assert "Hanging.write, on the thread that writes, has not ended within 1 s" in found["reason"]
    else:
        assert found["status"] == "interrupted"
        assert found["reason"].startswith("stopped by SIGTERM; ")
        assert "has not ended within 1 s" in found["reason"]
        assert "hanging.py:" in found["reason"]
    assert 4 in saved(tmp_path)


def test_signals_are_given_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    stop = StopRequest()
    with stop.listening():
        assert signal.getsignal(signal.SIGINT) != before[0]
        # A fork is another process, which asks for nothing and ends as others do.
        child = FORK.Process(target=time.sleep, args=(1000,))
        child.start()
        time.sleep(0.2)
        child.terminate()
        child.join(10)
        assert child.exitcode == -signal.SIGTERM
    assert not stop.requested
    assert [signal.getsignal(number) for number in numbers] == before
    assert not [thread for thread in threading.enumerate() if thread.name == "firebox-watch"]


def test_outside_the_main_thread_a_run_goes_without_signals_and_says_so(tmp_path):
    configuration = write(tmp_path)

    def prepare():
        from firebox.engine.commands import train as command

        train, codes = command.run_training, []

        def elsewhere(*arguments):
            thread = threading.Thread(target=lambda: codes.append(train(*arguments)))
            thread.start()
            thread.join()
            return codes[0]

        command.run_training = elsewhere

    assert Forked(str(configuration), prepare=prepare).wait() == 0, output(configuration)
    assert output(configuration).count("started outside the main thread: signals do not stop this run") == 1
    assert status(tmp_path)["status"] == "completed"


def test_a_script_whose_workers_would_train_again_is_refused_once_before_they_start(tmp_path):
    configuration = write(tmp_path, name="slow_data:Slow", workers=2)
    assert started(tmp_path, method="spawn", guard="if True:").wait(120) == 2, output(configuration)
    assert not (tmp_path / "runs").exists()
    shown = " ".join(output(configuration).split())
    assert shown.count('expected the call that trains below: if __name__ == "__main__":') == 1
    assert f"{tmp_path / 'script.py'}:9: worker processes that are started by spawn import this script again" in shown
    assert "while starting" not in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_worker_that_imports_the_script_again_trains_nothing(tmp_path, method):
    configuration = write(tmp_path, name="slow_data:Slow", workers=1)
    process = started(tmp_path, method=method, guard="if __name__:")
    assert process.wait(120) == 2, output(configuration)
    assert not (tmp_path / "runs").exists()
    shown = output(configuration)
    assert 'expected the call that trains below: if __name__ == "__main__":' in shown
    # A fork server does not hand on the exit code of a script.
    assert f"was ended by exit code {1 if method == 'forkserver' else 2} while starting" in shown
    assert "Traceback" not in shown
