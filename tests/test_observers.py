"""What observes never stops what it observes: handlers, TensorBoard, pictures, log.txt, the console."""

import io
import json
import logging
import os
import pty
import resource
import signal
import subprocess
import sys

import pytest

from firebox.engine.launch import launch
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation import console
from tests.exactness import FORK, LONGEST, SCRIPT, only_run, write_configuration
from tests.handlers.runs import configured
from tests.soaking import soak

OWN = """
import os
import signal
import sys

from ignite.engine import Events

from firebox import Handler, Phase

class Failing(Handler):
    observes = {observes}
    phase = Phase.LOG

    def __init__(self, *, where: str):
        self.where = where

    def attach(self, run):
        self.run = run
        run.every("3 iterations", lambda: self.fail("every"), self.phase)
        run.after_evaluation(lambda: self.fail("after_evaluation"), self.phase)
        run.losses.subscribe(lambda rows: self.fail("losses"))
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED(every=2), lambda: self.fail("event"))
        run.evaluator.add_event_handler(Events.STARTED, lambda engine: self.fail("evaluator"))

    def fail(self, where):
        if where == self.where:
            raise {error}

    def start(self, run):
        self.fail("start")
        run.background.submit(self.fail, "background")

    def finish(self):
        self.fail("finish")
        return False

    def state_dict(self):
        self.fail("state_dict")
        return {{"a": 1}}

    def load_state_dict(self, state):
        self.fail("load_state_dict")

    def flush(self):
        self.fail("flush")

    def close(self):
        self.fail("close")
"""
PLACES = [
    "start", "every", "after_evaluation", "losses", "event", "evaluator", "background", "finish", "state_dict", "flush",
    "close",
]  # fmt: skip
HANDLERS = {"loss_log": {}, "checkpoint": {"every": "5 iterations"}, "evaluation": {}}


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """The losses of a run that nobody observes."""
    return trained(configured(tmp_path_factory.mktemp("alone"), HANDLERS))[1]


def trained(configuration):
    """Returns the exit code, losses.jsonl, status.json and log.txt of a run."""
    code = launch.train(configuration, None, StopRequest())
    directory = RunDirectory(configuration.directory / configuration.output.version)
    status = json.loads((directory.path / "status.json").read_text())
    return code, directory.losses.read_bytes(), status, directory.log.read_text()


def failing(folder, where, *, observes, error='ValueError("a mistake\\n of [red]mine\\x1b[31m")'):
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN.format(observes=observes, error=error))
    return configured(folder, {**HANDLERS, f"{folder}/own.py:Failing": {"where": where}})


def shown(log):
    """The lines of log.txt that the console shows, too."""
    return [line for line in log.splitlines() if any(f" {level} " in line for level in ("WARNING", "ERROR  "))]


@pytest.fixture(autouse=True)
def _everything_logged(caplog):
    caplog.set_level("DEBUG", "firebox")
    logger = logging.getLogger("firebox")
    before = list(logger.handlers), logger.propagate
    yield
    for handler in set(logger.handlers) - set(before[0]):
        handler.close()
    logger.handlers[:], logger.propagate = before


@pytest.mark.parametrize("where", PLACES)
def test_a_handler_that_observes_fails_and_the_run_goes_on_unchanged(tmp_path, losses, where):
    code, logged, status, log = trained(failing(tmp_path, where, observes=True))

    assert (code, status["status"], status["iteration"]) == (0, "completed", 18)
    assert logged == losses
    (said,) = shown(log)
    assert f"own.py:Failing: a mistake of [red]mine\\x1b[31m ({tmp_path}/own.py:" in said
    assert said.endswith("it is switched off, the training goes on")
    assert log.count("Traceback (most recent call last)") >= 1  # for whoever looks for the reason


@pytest.mark.parametrize("where", PLACES)
def test_a_handler_that_does_not_observe_fails_the_run_in_one_line(tmp_path, caplog, where):
    code, _, status, _ = trained(failing(tmp_path, where, observes=False))

    assert (code, status["status"]) == (1, "failed")
    assert (
        f"handlers.{tmp_path}/own.py:Failing: a mistake of [red]mine\\x1b[31m ({tmp_path}/own.py:" in status["reason"]
    )
    assert {record.getMessage() for record in caplog.records if record.levelname == "ERROR"} == {status["reason"]}
    assert all(record.exc_info is None for record in caplog.records if record.levelno > 10)


@pytest.mark.parametrize("error", ["SystemExit(0)", "KeyboardInterrupt", "RecursionError", "sys.exit('bye')", "Odd()"])
@pytest.mark.parametrize("observes", [True, False])
def test_whatever_is_raised_is_an_error_of_the_handler(tmp_path, losses, error, observes):
    own = failing(tmp_path, "every", observes=observes, error=error)
    with (tmp_path / "own.py").open("a") as file:
        file.write("\nclass Odd(Exception):\n    def __str__(self):\n        raise TypeError\n")
    before = signal.signal(signal.SIGINT, lambda *_: None)  # as a run that listens to signals has it
    try:
        code, logged, status, log = trained(own)
    finally:
        signal.signal(signal.SIGINT, before)

    assert code == (0 if observes else 1)
    assert status["status"] == ("completed" if observes else "failed")
    said = shown(log)[-1]
    if observes or error != "Odd()":  # Ignite puts its text into a message of its own, and what that raises is left
        assert f"own.py:Failing: {error.partition('(')[0].replace('sys.exit', 'SystemExit')}" in said
    assert f"({tmp_path}/own.py:" in said
    if observes:
        assert logged == losses


def test_a_state_that_an_observer_no_longer_understands_is_left(tmp_path):
    configuration = failing(tmp_path, "load_state_dict", observes=True)
    code, _, _, _ = trained(configuration)
    assert code == 0
    directory = RunDirectory(configuration.directory / "run")
    assert launch.train(configuration, directory, StopRequest()) == 0
    assert "own.py:Failing: a mistake" in shown(directory.log.read_text())[-1]


MODULE = """
import torch
from firebox import Module
from firebox.modules.reconstruction import Reconstruction

class Mine(Reconstruction):
    {method}
"""
PICTURES = {
    "images": "def images(self, batch): raise ValueError('no picture')",
    "images_of_a_wrong_shape": "def images(self, batch): return {'a': (torch.zeros(3),)}",
    "images_of_a_wrong_type": "def images(self, batch): return {'a': 'b'}",
    "evaluation_images": "def evaluation_images(self, metrics): raise KeyError('accuracy')",
    "drawn": "def evaluation_images(self, metrics): return {'a': lambda: 1 / 0}",
    "drawn_of_a_wrong_type": "def evaluation_images(self, metrics): return {'a': lambda: torch.zeros(2, 2)}",
    "summary": "def summary(self): return 1 / 0",
}


@pytest.mark.parametrize("method", PICTURES)
def test_what_can_not_be_drawn_is_said_and_the_run_goes_on_unchanged(tmp_path, losses, method):
    (tmp_path / "mine.py").write_text(MODULE.format(method=PICTURES[method]))
    handlers = {**HANDLERS, "image_dump": {}, "model_summary": {}}
    code, logged, status, log = trained(configured(tmp_path, handlers, module={"name": f"{tmp_path}/mine.py:Mine"}))

    assert (code, status["status"]) == (0, "completed")
    assert logged == losses
    (said,) = shown(log)
    assert f"handlers.{'model_summary' if method == 'summary' else 'image_dump'}: " in said


def test_what_the_training_owes_stops_the_run_even_where_an_observer_asks_for_it(tmp_path):
    """A loss that is no number is found by whichever handler has the losses read first: here, one that observes."""
    (tmp_path / "mine.py").write_text(
        MODULE.format(
            method="""def training_step(self, batch, update):
        loss = self.loss.mean(self.model(batch.images), batch.images) * float("nan")
        update(loss)
        return {"loss": loss.detach()}"""
        )
    )
    handlers = {**HANDLERS, "progress": {"every": "2 iterations"}, "terminate_on_nan": {"every": "7 iterations"}}
    code, _, status, log = trained(configured(tmp_path, handlers, module={"name": f"{tmp_path}/mine.py:Mine"}))

    assert (code, status["status"]) == (1, "failed")
    assert "iteration 1: loss nan" in status["reason"]
    assert "switched off" not in log


class Limited:
    """Files may not grow beyond a size for as long as the block lasts."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.limits[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        signal.signal(signal.SIGXFSZ, self.handler)


@pytest.mark.usefixtures("capsys")  # pytest's own file would be limited, too
def test_event_files_and_pictures_that_the_disk_has_no_room_for_stop_nothing(tmp_path, losses):
    handlers = {"loss_log": {"every": "1 iterations"}, "evaluation": {}, "image_dump": {"every": "1 iterations"}}
    configuration = configured(tmp_path, handlers)
    with Limited(7_000):  # losses.jsonl has 2 kB, the event file 12 kB
        code, logged, status, log = trained(configuration)

    assert (code, status["status"]) == (0, "completed")
    assert logged == losses
    assert any("TensorBoard: " in line and "File too large" in line for line in shown(log))
    assert len(shown(log)) <= 2


def test_an_event_file_that_can_not_be_made_stops_nothing(tmp_path, losses, monkeypatch):
    configuration = configured(tmp_path, {**HANDLERS, "image_dump": {}})
    monkeypatch.setattr(RunDirectory, "tensorboard", property(lambda self: self.path / "config.yaml" / "tensorboard"))
    code, logged, status, log = trained(configuration)

    assert (code, status["status"], logged) == (0, "completed", losses)
    (said,) = shown(log)
    assert "TensorBoard: NotADirectoryError" in said


def test_losses_that_the_disk_has_no_room_for_stop_the_run_and_name_the_file(tmp_path):
    configuration = configured(tmp_path, {"loss_log": {"every": "1 iterations"}}, training={"epochs": 9})

    def train():
        sys.stdout = sys.stderr = io.StringIO()
        Limited(4_000).__enter__()
        os._exit(launch.train(configuration, None, StopRequest()))

    process = FORK.Process(target=train)
    process.start()
    process.join(LONGEST)
    run = configuration.directory / "run"
    status = json.loads((run / "status.json").read_text())

    assert (process.exitcode, status["status"]) == (1, "failed")
    assert status["reason"] == f"can't write: [Errno 27] File too large: '{run}/losses.jsonl'"


def test_a_log_that_the_disk_has_no_room_for_stops_nothing(tmp_path, losses, capsys, monkeypatch):
    console.start(quiet=False)
    configuration = configured(tmp_path, HANDLERS)
    monkeypatch.setattr(RunDirectory, "log", property(lambda self: self.path.parent / "full"))
    configuration.directory.mkdir(parents=True)
    (configuration.directory / "full").symlink_to("/dev/full")
    code = launch.train(configuration, None, StopRequest())
    said = capsys.readouterr().err

    assert code == 0
    assert (configuration.directory / "run" / "losses.jsonl").read_bytes() == losses
    assert said.count("full can't be written to (No space left on device): the run goes on") == 1
    assert "Traceback" not in said


def short(folder):
    """A run of a few iterations by the real script, which says more than a pipe holds back."""
    return write_configuration(folder, {"training": {"epochs": 1}}, [{"progress": {"every": "1 iterations"}}])


def require_completed(folder, lost):
    run = only_run(folder)
    status = json.loads((run / "status.json").read_text())
    assert (status["status"], status["iteration"]) == ("completed", 19)
    log = (run / "log.txt").read_text()
    for name in ("standard output", "standard error"):
        assert log.count(name) == (name in lost), log
    assert "completed: trained for 1 epochs" in log
    assert "iteration 19, train loss" in log


@pytest.mark.parametrize(
    ("console", "lost"),
    [
        ("2>&1 | head -1; exit ${PIPESTATUS[0]}", ["standard output", "standard error"]),
        pytest.param("1>&- 2>&-", ["standard output", "standard error"], marks=soak),
        pytest.param("2>/dev/full", ["standard error"], marks=soak),
        pytest.param("1>/dev/full", ["standard output"], marks=soak),
    ],
    ids=["head", "closed", "full stderr", "full stdout"],
)
def test_a_run_outlives_the_console(tmp_path, console, lost):
    command = f"{sys.executable} {SCRIPT} {short(tmp_path)} {console}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=LONGEST)

    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    require_completed(tmp_path, lost)


def test_a_run_outlives_its_terminal_and_the_bar_on_it(tmp_path):
    master, terminal = pty.openpty()
    command = [sys.executable, str(SCRIPT), str(short(tmp_path))]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    seen = b""
    while b"epoch 1/1" not in seen:  # the bar is drawn
        seen += os.read(master, 4096)
    os.close(master)

    assert process.wait(LONGEST) == 0
    require_completed(tmp_path, ["standard output", "standard error"])
