"""A run's directory: claimed by one process, never half-made."""

import json
import multiprocessing
import os
import signal

import pytest

from firebox.engine.configuration import read
from firebox.engine.configuration.identity import digest_of
from firebox.engine.records.claiming import claim
from firebox.engine.records.run_directory import RunDirectory, newest_first
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

FORK = multiprocessing.get_context("fork")


def configuration(root, *assignments):
    return read("cae_baseline", TRAINER.default, None, [f"output.root={root}", *assignments])


def make_run(path, state="interrupted"):
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("trainer: cae_baseline\n")
    directory = RunDirectory(path)
    directory.write_status(state, 3, "test")
    return directory


def test_versions_are_numbered_from_the_highest(tmp_path):
    settings = configuration(tmp_path)
    assert claim(settings).path == tmp_path / "fashion_mini/cae_baseline/version_0"
    (tmp_path / "fashion_mini/cae_baseline/version_7").mkdir()
    assert claim(settings).path.name == "version_8"


def test_a_named_version_is_taken_once(tmp_path):
    settings = configuration(tmp_path, "output.version=first")
    assert claim(settings).path.name == "first"
    with pytest.raises(Refusal, match=r"--set output.version  output.version: .*first exists already; .*--resume"):
        claim(settings)


def test_sixteen_simultaneous_starts_give_sixteen_versions(tmp_path):
    settings = configuration(tmp_path)
    barrier, names = FORK.Barrier(16), FORK.Queue()

    def start():
        barrier.wait()
        names.put(claim(settings).path.name)

    processes = [FORK.Process(target=start) for _ in range(16)]
    for process in processes:
        process.start()
    taken = [names.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(taken, key=lambda name: int(name.split("_")[1])) == [f"version_{number}" for number in range(16)]


def test_an_unwritable_root_is_refused_and_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match=r"output.root: can't write into .*file.*: Not a directory"):
        claim(configuration(tmp_path / "file"))


def test_the_lock_refuses_a_second_process_and_dies_with_its_owner(tmp_path):
    directory = make_run(tmp_path / "run")
    locked = FORK.Event()

    def hold():
        RunDirectory(directory.path).lock()
        locked.set()
        signal.pause()

    process = FORK.Process(target=hold)
    process.start()
    assert locked.wait(30)
    with pytest.raises(Refusal, match="in use: another process"):
        directory.lock()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    directory.lock()
    directory.unlock()


def test_runs_are_ordered_by_when_their_status_last_changed(tmp_path):
    runs = [make_run(tmp_path / f"version_{number}") for number in range(3)]
    for run, changed in zip(runs, (2000, 3000, 1000), strict=True):
        os.utime(run.path / "status.json", (changed, changed))
    assert [run.path.name for run in newest_first(runs)] == ["version_1", "version_0", "version_2"]


def test_the_status_is_replaced_whole(tmp_path):
    directory = make_run(tmp_path / "run")
    directory.write_status("completed", 57, "trained for 3 epochs")
    content = json.loads((directory.path / "status.json").read_text())
    assert (content["status"], content["iteration"], content["reason"]) == ("completed", 57, "trained for 3 epochs")
    assert [path.name for path in directory.path.iterdir() if "writing" in path.name] == []


def test_the_configuration_written_is_valid_and_resolves_to_itself(tmp_path):
    settings = configuration(tmp_path, "training.epochs=3", "handlers.image_dump=false")
    directory = claim(settings)
    directory.write_configuration(settings)
    again = read("cae_baseline", TRAINER.default, directory.configuration)
    assert digest_of(again) == digest_of(settings)
    assert again.training.epochs == 3
    assert "image_dump" not in [handler.name for handler in again.handlers]


def test_two_writers_within_a_second_have_files_of_their_own(tmp_path):
    directory = make_run(tmp_path / "run")
    for _ in range(2):
        writer = directory.open_tensorboard(0)
        writer.add_scalar("a", 1.0, 1)
        writer.close()
    assert len(list(directory.path.glob("events.out.tfevents.*"))) == 2


def test_what_a_run_ran_in_before_it_was_resumed_is_kept(tmp_path):
    directory = make_run(tmp_path / "run")
    for number in range(3):
        directory.write_environment({"resumed_at": number})

    written = json.loads(directory.environment.read_text())
    assert written == {"resumed_at": 2, "earlier": [{"resumed_at": 1}, {"resumed_at": 0}]}
