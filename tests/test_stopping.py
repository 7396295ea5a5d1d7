"""Signals, faults and bad numbers: what a run does when it can't go on, and what its directory says."""

import json
import os
import resource
import signal
import time

import pytest
import torch
from ignite.engine import Events

from firebox.engine.records import checkpoints
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import SAME_SECONDS
from tests.exactness import (
    EPOCH_LENGTH,
    ITERATIONS,
    SCRIPT,
    Forked,
    differences,
    only_run,
    output,
    resumed_to_the_end,
    run_python,
    run_script,
    with_handler,
    write_configuration,
)
from tests.soaking import SOAK


def status(run):
    return json.loads((run / "status.json").read_text())


def signal_at(iteration, number=signal.SIGTERM, event=Events.ITERATION_STARTED):
    """Prepares a fork that sends itself a signal."""

    def send(run):
        if run.iteration == iteration:
            os.kill(os.getpid(), number)

    return with_handler(event, send)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)],
    ids=["INT", "TERM", "USR1"],
)
def test_a_signal_finishes_the_step_saves_and_leaves(reference, tmp_path, number, code):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=signal_at(24, number)).wait() == code
    run = only_run(tmp_path)
    assert (status(run)["status"], status(run)["iteration"]) == ("interrupted", 24)
    assert number.name in status(run)["reason"]
    assert checkpoints.iterations_in(run / "checkpoints")[-1] == 24
    assert output(configuration).splitlines()[-1] == str(run)
    assert differences(reference, resumed_to_the_end(configuration)) == []
    assert (status(run)["status"], status(run)["iteration"]) == ("completed", ITERATIONS)


@pytest.mark.parametrize("iteration", [EPOCH_LENGTH, ITERATIONS])
def test_a_signal_during_an_evaluation_leaves_it_to_the_resumed_run(reference, tmp_path, iteration):
    configuration = write_configuration(tmp_path)

    def prepare():
        def on_evaluation(run):
            def send():
                if run.iteration == iteration:
                    os.kill(os.getpid(), signal.SIGTERM)

            run.evaluator.add_event_handler(Events.ITERATION_STARTED(once=2), send)

        with_handler(Events.STARTED, on_evaluation)()

    assert Forked(str(configuration), prepare=prepare).wait() == 143
    run = only_run(tmp_path)
    assert (status(run)["status"], status(run)["iteration"]) == ("interrupted", iteration)
    rows = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    assert not any(row["split"] == "validation" and row["iteration"] == iteration for row in rows)
    assert differences(reference, resumed_to_the_end(configuration)) == []


def test_a_signal_during_the_last_evaluation_leaves_the_test_to_the_resumed_run(reference, tmp_path):
    configuration = write_configuration(tmp_path)

    def prepare():
        def at_the_end(run):
            def send():
                if run.iteration == ITERATIONS:
                    os.kill(os.getpid(), signal.SIGTERM)

            run.evaluator.add_event_handler(Events.ITERATION_STARTED(once=2), send)

        with_handler(Events.COMPLETED, at_the_end)()

    assert Forked(str(configuration), prepare=prepare).wait() == 143
    assert status(only_run(tmp_path))["status"] == "interrupted"
    assert differences(reference, resumed_to_the_end(configuration)) == []


def test_a_second_signal_leaves_at_once(tmp_path):
    configuration = write_configuration(tmp_path)

    def twice(_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SAME_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    assert Forked(str(configuration), prepare=with_handler(Events.ITERATION_STARTED(once=3), twice)).wait() == 143
    run = only_run(tmp_path)
    assert status(run)["status"] == "running"
    assert checkpoints.iterations_in(run / "checkpoints") == []


def test_a_signal_that_is_sent_twice_at_once_is_one(tmp_path):
    """``timeout`` signals its child and then the group that the child is in; a shell repeats its terminal's hang-up."""
    configuration = write_configuration(tmp_path)

    def twice(_):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SAME_SECONDS)
        os.kill(os.getpid(), signal.SIGHUP)

    assert Forked(str(configuration), prepare=with_handler(Events.ITERATION_STARTED(once=3), twice)).wait() == 143
    assert status(only_run(tmp_path))["status"] == "interrupted"


def test_a_signal_while_starting_leaves_nothing(tmp_path):
    configuration = write_configuration(tmp_path)
    process = run_script(str(configuration))
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (143, -signal.SIGTERM)
    assert not (tmp_path / "runs").exists()


def test_the_status_says_running_while_the_run_goes_on(tmp_path):
    configuration = write_configuration(tmp_path)
    seen = tmp_path / "seen.json"

    def look(run):
        seen.write_text((run.directory.path / "status.json").read_text())

    assert Forked(str(configuration), prepare=with_handler(Events.ITERATION_COMPLETED(once=5), look)).wait() == 0
    assert json.loads(seen.read_text())["status"] == "running"
    assert status(only_run(tmp_path))["status"] == "completed"


def test_a_finished_run_says_so_and_how_to_go_on(reference):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    done = run_python(SCRIPT, "--resume", reference)
    assert done.returncode == 0
    assert "is completed" in done.stderr
    assert "--set training.epochs=6 --allow-change training.epochs" in done.stderr
    assert done.stdout.splitlines()[-1] == str(reference)
    assert before == {path: path.stat().st_mtime_ns for path in reference.rglob("*")}


def test_a_finished_run_is_trained_longer_on_request(tmp_path):
    configuration = write_configuration(tmp_path, {"scheduler": None, "training": {"epochs": 1}})
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    run = only_run(tmp_path)
    more = ["--resume", str(run), "--set", "training.epochs=2", "--allow-change", "training.epochs"]
    assert Forked(str(configuration), *more).wait() == 0, output(configuration)
    assert (status(run)["status"], status(run)["iteration"]) == ("completed", 2 * EPOCH_LENGTH)
    whole = write_configuration(tmp_path / "whole", {"scheduler": None, "training": {"epochs": 2}})
    assert Forked(str(whole)).wait() == 0
    differing = [name for name in differences(only_run(tmp_path / "whole"), run) if not name.startswith("images/test")]
    # The first end of the run had a test of its own, which is in the log.
    assert [name for name in differing if name not in ("losses.jsonl", "config.yaml")] == []


def test_a_changed_configuration_is_refused_with_both_values(tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=signal_at(3)).wait() == 143
    changed = ["--resume", "--set", "optimizer.lr=0.5", "--set", "training.epochs=9"]
    assert Forked(str(configuration), *changed).wait() == 2
    lines = output(configuration).splitlines()
    (rate,) = [line for line in lines if "optimizer.lr" in line]
    assert "--set optimizer.lr  optimizer.lr: the run has 0.002" in rate
    assert "now 0.5; expected the same" in rate
    (epochs,) = [line for line in lines if "training.epochs:" in line]
    assert "--allow-change training.epochs" in epochs
    assert status(only_run(tmp_path))["status"] == "interrupted"


def test_a_run_that_another_process_trains_is_refused(tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=signal_at(3)).wait() == 143
    directory = RunDirectory(only_run(tmp_path))
    directory.lock()
    try:
        assert Forked(str(configuration), "--resume").wait() == 2
    finally:
        directory.unlock()
    assert "in use: another process" in output(configuration)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(reference, tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=signal_at(24)).wait() == 143
    run = only_run(tmp_path)
    newest, earlier = [checkpoints.path_of(run / "checkpoints", iteration) for iteration in (24, 21)]
    content = bytearray((newest / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "state.pt").write_bytes(content)
    assert differences(reference, resumed_to_the_end(configuration)) == []
    assert f"damaged checkpoint: {newest / 'state.pt'}" in output(configuration)
    assert f"resumed from {earlier}" in output(configuration)


def test_a_run_without_any_valid_checkpoint_is_refused_and_nothing_deleted(tmp_path):
    configuration = write_configuration(tmp_path)
    assert Forked(str(configuration), prepare=signal_at(8)).wait() == 143
    run = only_run(tmp_path)
    for iteration in checkpoints.iterations_in(run / "checkpoints"):
        (checkpoints.path_of(run / "checkpoints", iteration) / "manifest.json").write_text("{}")
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    losses = (run / "losses.jsonl").read_bytes()
    assert Forked(str(configuration), "--resume").wait() == 2
    assert "no valid checkpoint" in output(configuration)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    assert (run / "losses.jsonl").read_bytes() == losses


NAN = '''
from firebox.modules.reconstruction import Reconstruction

class NaNAt(Reconstruction):
    """A reconstruction whose loss is not a number at one iteration."""

    def __init__(self, model, specification, *, iteration: int) -> None:
        super().__init__(model, specification)
        self.iteration = iteration

    def training_step(self, batch, update):
        loss = self.loss.mean(self.model(batch.images), batch.images)
        if update.iteration == self.iteration:
            loss = loss * float("nan")
        update(loss)
        return {"loss": loss.detach()}
'''


def test_a_loss_that_is_no_number_stops_the_run_before_it_does_harm_and_is_replayed(tmp_path):
    (tmp_path / "nan_module.py").write_text(NAN)
    module = {"name": "nan_module.py:NaNAt", "iteration": 50}
    configuration = write_configuration(tmp_path)
    content = (
        configuration.read_text()
        .replace("loss: mse", "iteration: 50")
        .replace("name: reconstruction", f"name: {module['name']}")
    )
    configuration.write_text(content)
    assert Forked(str(configuration)).wait() == 1
    run = only_run(tmp_path)
    assert status(run)["status"] == "failed"
    assert "iteration 50" in status(run)["reason"]
    last = output(configuration)
    assert f"firebox replay {run} --iteration 50" in last
    assert "Traceback" not in last
    recorded = json.loads((run / "non_finite.json").read_text())
    assert recorded["iteration"] == 50
    assert len(recorded["indices"]) == 30
    assert max(checkpoints.iterations_in(run / "checkpoints")) < 50
    done = run_python("-m", "firebox", "replay", run, "--iteration", "50", "--dump")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "losses: equal" in done.stdout
    assert " ".join(map(str, recorded["indices"][:20])) in done.stdout
    assert {path.suffix for path in (run / "replay").iterdir()} == {".png", ".pt"}


@pytest.mark.parametrize("iteration", [1, 20, 57] if SOAK else [20])
def test_a_replayed_iteration_equals_what_was_recorded(reference, iteration):
    done = run_python("-m", "firebox", "replay", reference, "--iteration", iteration)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "losses: equal" in done.stdout
    assert "gradient norm" in done.stdout


def test_a_full_disk_ends_the_run_with_a_message_and_its_last_checkpoint(tmp_path):
    configuration = write_configuration(tmp_path)

    def fill(run):
        run.background.drain()  # so that the checkpoint before is written, however slow the disk is
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    assert Forked(str(configuration), prepare=with_handler(Events.ITERATION_COMPLETED(once=15), fill)).wait() == 1
    run = only_run(tmp_path)
    assert status(run)["status"] == "failed"
    assert "can't write the checkpoint of iteration" in output(configuration)
    assert "File too large" in output(configuration)
    assert "Traceback" not in output(configuration)
    folder = run / "checkpoints"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert checkpoints.iterations_in(folder)[-1] == 14
    assert checkpoints.load(checkpoints.path_of(folder, 14))["iteration"] == 14


def test_running_out_of_memory_names_the_batch_size_and_the_estimate(tmp_path):
    configuration = write_configuration(tmp_path)

    def exhaust(_):
        torch.empty(1 << 55, dtype=torch.uint8)

    assert Forked(str(configuration), prepare=with_handler(Events.ITERATION_STARTED(once=3), exhaust)).wait() == 1
    last = output(configuration)
    assert "out of memory at datamodule.batch_size 30, where the run was estimated to take" in last
    assert "MiB; lower it, or raise training.accumulation" in last
    assert "Traceback" not in last
    assert status(only_run(tmp_path))["status"] == "failed"


def test_resuming_at_a_million_costs_what_it_costs_at_a_hundred(tmp_path):
    """By the work done, not by the clock: nothing is read, drawn or computed for the iterations before."""
    from firebox.engine.configuration import read
    from firebox.engine.training.factory import build
    from firebox.trainers.train_cae_baseline import TRAINER

    configuration = write_configuration(tmp_path)
    run = build(read("cae_baseline", TRAINER.default, configuration, ["training.epochs=100000"]))
    state = run.state_dict()
    batches = {}
    for iteration in (100, 1_000_000):
        drawn = []
        run.load_state_dict({**state, "iteration": iteration})
        stream = run.streams["train"]
        read_one = stream.read
        stream.read = lambda position, drawn=drawn, read_one=read_one: (drawn.append(position), read_one(position))[1]
        try:
            batches[iteration] = next(stream).indices
        finally:
            del stream.read
        assert drawn == [iteration]
    assert not batches[100].equal(batches[1_000_000])


def test_a_signal_that_a_launcher_and_a_batch_system_both_send_is_one_and_counts_once_all_agree():
    stop = StopRequest()
    with stop.listening():
        stop.follow_launcher()
        stop.share()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(SAME_SECONDS)
        assert not stop.requested
        assert any(stop.votes())
        stop.agree([False] * len(stop.votes()))
        assert not stop.requested
        stop.agree(stop.votes())
        assert stop.requested
        assert stop.exit_code == 143
