"""A run's directory appears whole, under its name and with its configuration, or not at all."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest

from firebox.engine.configuration import read, read_recorded
from firebox.engine.configuration.identity import digest_of
from firebox.engine.records import claiming, run_directory
from firebox.engine.records.claiming import STARTING, claim, claim_of, copies, killed_while_claiming, renew
from firebox.engine.records.run_directory import RunDirectory, is_run
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

FORK = multiprocessing.get_context("fork")
STEPS = (
    "lock", "move to the digest", "write_configuration", "write_status", "record", "sync_folder", "move to the version",
    "sync of the parent",
)  # fmt: skip


def configuration(root, *assignments):
    return read("cae_baseline", TRAINER.default, None, [f"output.root={root}", *assignments])


def claimed(root, *assignments):
    directory = claim(configuration(root, *assignments))
    directory.unlock()
    return directory.path


def dying_at(step, action):
    """Does something in a fork that is killed just before one of the steps of a claim."""

    def act():
        count = {}

        def die_before(owner, name, occurrence):
            function = getattr(owner, name)

            def wrapped(*arguments):
                count[name] = count.get(name, 0) + 1
                if count[name] == occurrence:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments)

            setattr(owner, name, wrapped)

        owner, name, occurrence = {
            "lock": (RunDirectory, "lock", 1),
            "move to the digest": (RunDirectory, "move", 1),
            "write_configuration": (RunDirectory, "write_configuration", 1),
            "write_status": (RunDirectory, "write_status", 1),
            "record": (claiming, "_record", 1),
            "sync_folder": (claiming, "sync_folder", 1),
            "move to the version": (RunDirectory, "move", 2),
            "sync of the parent": (claiming, "sync_folder", 2),
        }[step]
        die_before(owner, name, occurrence)
        action()

    process = FORK.Process(target=act)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_leaves_a_whole_run_or_none(tmp_path, step):
    settings = configuration(tmp_path)
    dying_at(step, lambda: claim(settings))
    visible = [path for path in settings.directory.iterdir() if not path.name.startswith(".")]
    if step == "sync of the parent":
        (run,) = visible
        assert is_run(run)
        assert claim_of(run).name == "version_0"
        assert digest_of(read_recorded(run / "config.yaml")) == digest_of(settings)
        assert not killed_while_claiming(settings)
        return
    assert visible == []
    assert not any(map(is_run, settings.directory.iterdir()))
    # Before the lock is held there is nothing that tells whose the folder is.
    assert killed_while_claiming(settings) is (step not in ("lock", "move to the digest"))
    assert not killed_while_claiming(configuration(tmp_path, "seed=8"))
    assert not killed_while_claiming(configuration(tmp_path, "training.epochs=8"))


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("lock", "move to the digest")])
def test_the_next_claim_removes_what_a_killed_one_left(tmp_path, step):
    settings = configuration(tmp_path)
    dying_at(step, lambda: claim(settings))
    path = claimed(tmp_path)
    assert [entry for entry in path.parent.iterdir() if entry.name.startswith(STARTING)] == []
    assert path.name == ("version_1" if step == "sync of the parent" else "version_0")


def test_what_was_left_before_the_lock_was_held_is_removed_after_a_day(tmp_path):
    settings = configuration(tmp_path)
    dying_at("move to the digest", lambda: claim(settings))
    (left,) = settings.directory.iterdir()
    claimed(tmp_path)
    assert left.is_dir()
    os.utime(left, (1, 1))
    claimed(tmp_path)
    assert not left.exists()


def test_a_claim_that_is_being_made_is_left_alone(tmp_path):
    settings = configuration(tmp_path)
    begun, going_on = FORK.Event(), FORK.Event()

    def slow():
        take = claiming._take_version

        def wait(*arguments):
            begun.set()
            going_on.wait(60)
            take(*arguments)

        claiming._take_version = wait
        claim(settings)

    process = FORK.Process(target=slow)
    process.start()
    assert begun.wait(60)
    assert not killed_while_claiming(settings)
    assert claimed(tmp_path).name == "version_0"
    going_on.set()
    process.join(60)
    assert process.exitcode == 0
    assert is_run(settings.directory / "version_1")


def test_a_claim_that_is_refused_leaves_nothing(tmp_path):
    path = claimed(tmp_path, "output.version=mine")
    with pytest.raises(Refusal, match="mine exists already"):
        claim(configuration(tmp_path, "output.version=mine"))
    assert [entry.name for entry in path.parent.iterdir()] == ["mine"]


def test_a_version_taken_at_the_last_moment_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    """Between looking and renaming another process may take the name: the rename itself is what excludes it."""
    path = claimed(tmp_path, "output.version=mine")
    before = (path / "claim.json").read_bytes()
    looks = iter([False])
    real = os.path.lexists
    monkeypatch.setattr(claiming.os.path, "lexists", lambda name: next(looks, None) is None and real(name))
    with pytest.raises(Refusal, match="mine exists already"):
        claim(configuration(tmp_path, "output.version=mine"))
    assert (path / "claim.json").read_bytes() == before


def test_the_lock_is_held_from_before_the_version_appears(tmp_path):
    directory = claim(configuration(tmp_path))

    def look():
        os._exit(RunDirectory(directory.path).in_use())

    process = FORK.Process(target=look)
    process.start()
    process.join(60)
    directory.unlock()
    assert process.exitcode == 1


def test_a_copy_is_told_from_the_run_by_the_runs_own_record(tmp_path):
    run = claimed(tmp_path)
    backup, other = run.with_name("version_0_backup"), run.with_name("version_0 (copy)")
    shutil.copytree(run, backup)
    shutil.copytree(run, other)
    assert copies([run, backup, other, claimed(tmp_path)]) == {backup: run, other: run}


def test_a_renamed_run_is_no_copy_and_its_copies_are(tmp_path):
    run = claimed(tmp_path)
    renamed, backup = run.with_name("good"), run.with_name("a backup")
    run.rename(renamed)
    assert copies([renamed]) == {}
    shutil.copytree(renamed, backup)
    assert copies([renamed, backup]) == {backup: renamed}


def test_without_its_record_a_copy_is_not_recognised(tmp_path):
    run = claimed(tmp_path)
    backup = run.with_name("version_0_backup")
    shutil.copytree(run, backup)
    for path in (run, backup):
        (path / "claim.json").unlink()
    assert copies([run, backup]) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"identity": 1}', '{"identity": "a", "name": "b", "inode": "c"}', "\0"])
def test_a_record_that_can_not_be_read_is_none(tmp_path, text):
    run = claimed(tmp_path)
    (run / "claim.json").write_text(text)
    assert claim_of(run) is None
    assert copies([run]) == {}


def test_a_run_that_is_resumed_under_another_name_keeps_its_identity_and_a_copy_gets_one_of_its_own(tmp_path):
    run = claimed(tmp_path)
    identity = claim_of(run).identity
    copy = run.with_name("copy")
    shutil.copytree(run, copy)
    renew(RunDirectory(copy))
    assert claim_of(copy).identity != identity
    assert claim_of(copy).name == "copy"
    assert copies([run, copy]) == {}
    renamed = run.with_name("renamed")
    run.rename(renamed)
    renew(RunDirectory(renamed))
    assert (claim_of(renamed).identity, claim_of(renamed).name) == (identity, "renamed")


def test_a_run_that_is_where_it_was_is_not_recorded_again(tmp_path):
    run = claimed(tmp_path)
    changed = (run / "claim.json").stat().st_mtime_ns
    renew(RunDirectory(run))
    assert (run / "claim.json").stat().st_mtime_ns == changed


def test_a_claim_holds_the_configuration_and_says_starting(tmp_path):
    run = claimed(tmp_path, "seed=8")
    assert read_recorded(run / "config.yaml").seed == 8
    assert json.loads((run / "status.json").read_text())["reason"] == "starting"
    assert run_directory.RunDirectory(run).status().iteration == 0
