"""Processes that are stopped, killed, fail or hang while they train one run, and what the others make of it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from firebox.engine.checks import first_samples
from firebox.engine.launch import together
from firebox.engine.records import checkpoints
from firebox.engine.world import joining, processes, pulse, store
from tests.exactness import (
    SCRIPT,
    Forked,
    differences,
    kill_at,
    only_run,
    output,
    start_python,
    with_handler,
    write_configuration,
)
from tests.soaking import SOAK, soak
from tests.test_stopping import signal_at, status
from tests.worlds import SMALL, Launcher, codes, ended, on_rank, run_on, scalars

QUICK = {**SMALL, "training": {**SMALL["training"], "shards": 2}, "handlers": [{"loss_log": {"every": "1 iterations"}}]}
"""Eight iterations with the default handlers."""


def test_a_chain_of_stops_and_kills_on_2_4_and_1_processes_ends_as_the_undisturbed_run(alone, tmp_path):
    configuration = write_configuration(tmp_path, SMALL)
    configuration.write_text(configuration.read_text().replace("every: 7 iterations", "every: 2 iterations"))
    assert run_on(2, configuration, prepare=on_rank(1, signal_at(3))) == [143, 143]
    run = only_run(tmp_path)
    recorded = json.loads((run / "status.json").read_text())
    assert (recorded["status"], recorded["iteration"], recorded["exit_code"]) == ("interrupted", 3, 143)
    assert recorded["reason"] == "stopped by SIGTERM"
    assert checkpoints.iterations_in(run / "checkpoints") == [2, 3]

    four = run_on(4, configuration, "--resume", prepare=on_rank(2, kill_at(5)))
    assert four == [1, 1, -signal.SIGKILL, 1]
    assert status(run)["status"] == "failed"
    assert status(run)["reason"].startswith("rank 2 (process ")
    assert "ended without a word" in status(run)["reason"]
    assert "processes: so far 2, now 4" in output(configuration)

    assert Forked(str(configuration), "--resume").wait() == 0, output(configuration)
    found = [name for name in differences(alone, run) if name != "config.yaml" and not name.startswith("checkpoints")]
    assert found == []
    assert scalars(alone) == scalars(run)


def test_the_first_process_killed_another_says_so(tmp_path):
    configuration = write_configuration(tmp_path, QUICK)
    began = time.monotonic()
    assert run_on(2, configuration, prepare=on_rank(0, kill_at(1))) == [-signal.SIGKILL, 1]
    assert time.monotonic() - began < 60
    run = only_run(tmp_path)
    assert status(run)["status"] == "failed"
    assert "rank 0 (process " in status(run)["reason"]
    assert output(configuration).count("rank 0 (process ") == 1


def test_an_error_in_one_process_is_what_the_user_reads(tmp_path):
    configuration = write_configuration(tmp_path, QUICK)

    def fail(run):
        if run.iteration == 2:
            raise ValueError("the data of rank 1 is broken")

    prepare = on_rank(1, with_handler(Events.ITERATION_STARTED, fail))
    assert run_on(2, configuration, prepare=prepare) == [1, 1]
    run = only_run(tmp_path)
    assert status(run)["status"] == "failed"
    assert "rank 1 (process " in status(run)["reason"]
    assert "the data of rank 1 is broken" in status(run)["reason"]
    said = output(configuration)
    assert said.count("the data of rank 1 is broken") == 1
    assert "onnection closed" not in said
    assert "Traceback" not in said
    log = (run / "log.txt").read_text()
    assert log.count("in fail\n") == 1, "the traceback of rank 1 is kept"
    assert "ValueError: the data of rank 1 is broken" in log


OWN_HANDLER = """
from firebox import Handler
from ignite.engine import Events

class Ending(Handler):
    {observes}

    def attach(self, run):
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: self.look(run))

    def look(self, run):
        if run.iteration == 2 and run.world.rank == 0:
            run.{end}
"""


def test_an_end_that_one_process_asks_for_is_agreed_on(tmp_path):
    runs = []
    for size, observes in ((1, "pass"), (2, "pass"), (2, "observes = True")):
        folder = tmp_path / str(len(runs))
        configuration = write_configuration(folder, SMALL)
        path = folder / "own.py"
        path.write_text(OWN_HANDLER.format(observes=observes, end="trainer.terminate()"))
        given = ("--set", f"handlers.{path}:Ending={{}}")
        assert run_on(size, configuration, *given) == [0] * size, output(configuration)
        runs.append(only_run(folder))
    assert [status(run)["iteration"] for run in runs] == [3, 3, 3]
    for run in runs[1:]:
        assert [name for name in differences(runs[0], run) if name != "config.yaml"] == []


def test_an_end_that_only_one_process_decides_on_is_a_failure(tmp_path):
    configuration = write_configuration(tmp_path, SMALL)
    path = tmp_path / "own.py"
    path.write_text(OWN_HANDLER.format(observes="writes = ('notes.txt',)", end="finish_early('enough')"))

    def prepare(_):
        processes.ENDED_SECONDS = 2.0

    given = ("--set", f"handlers.{path}:Ending={{}}")
    assert run_on(2, configuration, *given, prepare=prepare) == [1, 1], output(configuration)
    reason = status(only_run(tmp_path))["reason"]
    assert "ended the training early after iteration 2, but rank 1 did not: expected run.trainer.terminate()" in reason


def test_a_process_that_hangs_is_given_up(tmp_path):
    configuration = write_configuration(tmp_path, {**QUICK, "datamodule": {**QUICK["datamodule"], "timeout": 1.0}})

    def hang(run):
        if run.iteration == 2:
            time.sleep(120)

    def prepare(rank):
        together.STOP_SECONDS = 2.0
        if rank == 1:
            with_handler(Events.ITERATION_STARTED, hang)()

    with ended(Launcher().start(2, str(configuration), prepare=prepare)) as world:
        assert world[0].wait() == 1
        assert world[1].poll() is None
    reason = status(only_run(tmp_path))["reason"]
    assert reason.startswith("rank 1 (process ")
    assert "has not answered within 3 s" in reason


def impatient(rank, victim, last_words=lambda: None):
    """Prepares a world in which a process is killed as it looks at its data, where no launcher tells the others."""
    pulse.BEAT_SECONDS, pulse.LOST_SECONDS = 0.1, 2.0

    def kill(_):
        last_words()
        os.kill(os.getpid(), signal.SIGKILL)

    if rank == victim:
        first_samples.require_first_samples = kill


@pytest.mark.parametrize("victim", [0, 1, 3] if SOAK else [0, 3])
def test_a_process_killed_before_the_training_ends_those_that_wait_for_it(tmp_path, victim):
    configuration = write_configuration(tmp_path, SMALL)
    found = run_on(4, configuration, prepare=lambda rank: impatient(rank, victim))
    assert found == [-signal.SIGKILL if rank == victim else 1 for rank in range(4)], output(configuration)
    said = output(configuration)
    assert said.count(f"failed before training: rank {victim} (process ") == 1
    assert said.count("ended without a word") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_process_killed_while_they_connect_ends_the_others_as_a_signal_does(tmp_path, stopped):
    configuration = write_configuration(tmp_path, SMALL)

    def prepare(rank):
        impatient(rank, None)
        meet = joining.meet

        def die(*arguments):
            meet(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        if rank == 0:
            joining.meet = die

    world = Launcher().start(4, str(configuration), prepare=prepare)
    assert world[0].wait() == -signal.SIGKILL
    for process in world[1:] if stopped else ():
        process.send_signal(signal.SIGTERM)
    assert codes(world) == [-signal.SIGKILL, *([143 if stopped else 1] * 3)], output(configuration)
    if not stopped:
        assert output(configuration).count("failed before training: rank 0 (process ") == 1


@pytest.mark.parametrize(("begun", "loss"), [(False, "SIGKILL"), (True, "SIGKILL"), (True, "SIGSTOP")])
def test_the_first_process_lost_together_with_the_store_the_others_say_so(tmp_path, begun, loss):
    configuration = write_configuration(tmp_path, SMALL)
    launcher = Launcher()

    def lose():
        launcher.lose(signal.Signals[loss])

    def lose_both(run):
        if run.iteration == 3:
            lose()
            os.kill(os.getpid(), signal.SIGKILL)

    def prepare(rank):
        os.environ |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}  # each on a machine of its own
        store.ANSWER_SECONDS = 3.0
        if begun:
            on_rank(0, with_handler(Events.ITERATION_COMPLETED, lose_both))(rank)
        else:
            impatient(rank, 0, lose)

    assert codes(launcher.start(2, str(configuration), prepare=prepare)) == [-signal.SIGKILL, 1]
    launcher.lose()
    said = output(configuration)
    assert said.count("the store of torchrun, in which the processes meet, is lost") == 1
    assert "Traceback" not in said
    if begun:
        assert status(only_run(tmp_path))["status"] == "failed"
        assert "the store of torchrun" in status(only_run(tmp_path))["reason"]
    else:
        assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_would_not_train_the_same_are_refused_together(tmp_path, rank):
    configuration = write_configuration(tmp_path, QUICK)
    prepare = on_rank(rank, lambda: torch.set_num_threads(2))
    found = run_on(
        2, configuration, "--set", "training.threads=null", prepare=prepare,
        only=lambda rank: ["--set", f"seed={rank + 5}"],
    )  # fmt: skip
    assert found == [2, 2]
    said = output(configuration)
    assert "training.threads: got " in said
    assert "the configuration: got " in said
    assert "the weights to begin with: got " in said
    assert said.count("refused before training") == 1
    assert not (tmp_path / "runs").exists()


def test_a_refusal_is_said_once_and_leaves_nothing(tmp_path):
    configuration = write_configuration(tmp_path, QUICK)
    assert run_on(4, configuration) == [2] * 4
    said = output(configuration)
    assert "training.shards: got 2 for 4 processes" in said
    assert "--set training.shards=4" in said
    assert said.count("refused before training") == 1
    assert not (tmp_path / "runs").exists()


def test_a_check_says_what_each_process_takes(tmp_path):
    configuration = write_configuration(tmp_path, SMALL)
    assert run_on(2, configuration, "--check") == [0, 0]
    said = output(configuration)
    assert "2, each with 2 of the 4 shards of a batch" in said
    assert "75 images of 300" in said
    assert said.count("what each process takes") == 1
    assert not (tmp_path / "runs").exists()


def torchrun(*arguments, output, restarts=0, processes=2):
    """Starts torchrun with the real script."""
    options = [f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    options += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    command = ["-m", "torch.distributed.run", *options, str(SCRIPT), *arguments]
    return start_python(*command, output=output, new_session=True)


def test_torchrun_resumes_the_same_run_by_itself_after_a_kill(alone, tmp_path):
    configuration = write_configuration(tmp_path, SMALL)
    path = tmp_path / "killing.py"
    path.write_text(
        "import os, signal\nfrom ignite.engine import Events\nfrom firebox import Handler\n"
        "class Killing(Handler):\n"
        "    def attach(self, run):\n"
        "        run.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=5), lambda: self.kill(run))\n"
        "    def kill(self, run):\n"
        f'        if run.world.rank == 1 and int(os.environ["TORCHELASTIC_RESTART_COUNT"]) < {3 if SOAK else 1}:\n'
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with (tmp_path / "output.txt").open("w") as file:
        agent = torchrun(str(configuration), "--set", f"handlers.{path}:Killing={{}}", restarts=3, output=file)
        assert agent.wait(180) == 0, output(configuration)
    run = only_run(tmp_path)
    assert [name for name in differences(alone, run) if name != "config.yaml" and "Killing" not in name] == []
    assert "the launcher starts again: resuming" in output(configuration)
    assert run.name == "version_0"


def workers(agent):
    """Returns the processes of torchrun's, as soon as the run has begun."""
    found = subprocess.run(["pgrep", "-P", str(agent.pid)], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]


def trains(agent, folder, rows):
    """Waits until a run of torchrun's has written so many rows of losses."""
    written = 0
    while written < rows and agent.poll() is None:
        time.sleep(0.1)
        written = sum(len(path.read_text().splitlines()) for path in (folder / "runs").glob("*/*/*/losses.jsonl"))


@soak
@pytest.mark.parametrize("to", ["the agent", "the agent, killed", "the agent and its processes"])
def test_torchrun_and_its_processes_are_signalled(tmp_path, to):
    longer = {**SMALL, "training": {**SMALL["training"], "epochs": 200}}
    configuration = write_configuration(tmp_path, longer)
    with (tmp_path / "output.txt").open("w") as file:
        agent = torchrun(str(configuration), output=file)
        trains(agent, tmp_path, 8)
        started = workers(agent)
        if to == "the agent and its processes":
            for pid in started:
                os.kill(pid, signal.SIGTERM)
        agent.send_signal(signal.SIGKILL if to == "the agent, killed" else signal.SIGTERM)
        assert agent.wait(60) == (-signal.SIGKILL if to == "the agent, killed" else 1)
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
            time.sleep(0.1)
    run = only_run(tmp_path)
    recorded = json.loads((run / "status.json").read_text())
    assert (recorded["status"], recorded["exit_code"]) == ("interrupted", 143)
    assert checkpoints.iterations_in(run / "checkpoints")[-1] == recorded["iteration"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


SOME = """
from firebox.modules.reconstruction import Reconstruction

class Some(Reconstruction):
    def training_step(self, batch, update):
        terms = super().training_step(batch, update)
        return {**terms, "some": terms["loss"]} if 7 in batch.indices else terms
"""


@soak
def test_terms_that_only_one_process_returns_end_all_of_them(tmp_path):
    (tmp_path / "some.py").write_text(SOME)
    configuration = write_configuration(tmp_path, {**QUICK, "module": {"name": "some.py:Some"}})
    assert run_on(2, configuration) == [1, 1]
    assert "other loss terms for one shard than for another" in output(configuration)
