"""Damage is noticed wherever it matters: what can be computed again is, and the rest is refused in one line."""

import json
import re
import shutil

import pytest
import torch

from firebox.engine.launch import launch
from firebox.engine.launch.admission import Request
from firebox.engine.records import checkpoints
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.files import digest
from firebox.foundation.problems import Refusal
from firebox.handlers.checkpoint import Checkpoint
from firebox.handlers.loss_log import LossLog
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import differing
from tests.handlers.runs import begun, configured, cut_off, ended, stopped, trained

HANDLERS = {
    "loss_log": {"every": "2 iterations"},
    "evaluation": {"every": "3 iterations"},
    "checkpoint": {"every": "4 iterations", "keep_last": 3, "keep_best": 1},
    "ema": {},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    return trained(configured(tmp_path_factory.mktemp("whole"), HANDLERS)).directory


def completed(configuration):
    """Trains a run to its end as the command line does; returns its directory."""
    assert launch.train(configuration, None, StopRequest()) == launch.COMPLETED
    return RunDirectory(configuration.directory / configuration.output.version)


def resumed(directory):
    """Resumes a run as the command line does; returns the exit code."""
    return launch.launch(Request(TRAINER, resume=str(directory.path)))


def assert_equal(directory, whole):
    assert directory.losses.read_bytes() == whole.losses.read_bytes()
    newest = checkpoints.iterations_in(whole.checkpoints)[-1]
    left, right = (checkpoints.load(checkpoints.path_of(d.checkpoints, newest)) for d in (directory, whole))
    assert differing(left, right) == []
    assert directory.status().state == "completed"


def state_file(directory, iteration):
    return checkpoints.path_of(directory.checkpoints, iteration) / checkpoints.STATE


def rewritten(directory, iteration, change, **manifest):
    """Writes a checkpoint's state anew, changed, with a manifest and a SHA-256 that are right."""
    path = checkpoints.path_of(directory.checkpoints, iteration)
    state = torch.load(path / checkpoints.STATE, weights_only=True)
    change(state)
    torch.save(state, path / checkpoints.STATE)
    content = json.loads((path / "manifest.json").read_text())
    content.pop("sha256")
    file = path / checkpoints.STATE
    content["files"] = {file.name: {"sha256": digest(file), "bytes": file.stat().st_size}}
    (path / "manifest.json").write_text(checkpoints.Manifest(**{**content, **manifest}).text())


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# A completed run.


def test_a_completed_run_that_is_whole_is_left_alone(tmp_path, capsys):
    directory = completed(configured(tmp_path, HANDLERS))
    before = directory.status()
    assert resumed(directory) == launch.COMPLETED
    printed = capsys.readouterr().err
    assert "is completed: trained for 2 epochs" in printed
    assert directory.status() == before


def foreign(state):
    state["iteration"] = 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: flip(state_file(d, 18)), "its last checkpoint is damaged"),
        (lambda d: state_file(d, 18).unlink(), "its last checkpoint is damaged"),
        (lambda d: shutil.rmtree(state_file(d, 18).parent), "its last checkpoint, .*18, is missing"),
        (lambda d: rewritten(d, 18, foreign), "is not the state of iteration 18"),
        (lambda d: d.losses.unlink(), "there is no such file"),
        (lambda d: d.losses.write_bytes(b""), "iterations 1 to 0 of 18"),
        (lambda d: d.losses.write_bytes(d.losses.read_bytes()[:700]), "missing, doubled or torn"),
    ],
)
def test_a_completed_run_that_is_not_whole_is_computed_again_and_ends_equal(tmp_path, whole, capsys, damage, said):
    directory = completed(configured(tmp_path, HANDLERS))
    damage(directory)
    assert resumed(directory) == launch.COMPLETED
    printed = capsys.readouterr().err
    assert re.search(f"is completed, but .*{said}", printed)
    assert "Traceback" not in printed
    assert_equal(directory, whole)


def test_a_completed_run_without_any_valid_checkpoint_is_refused(tmp_path, capsys):
    directory = completed(configured(tmp_path, HANDLERS))
    for iteration in checkpoints.iterations_in(directory.checkpoints):
        flip(state_file(directory, iteration))
    assert resumed(directory) == launch.REFUSED
    assert "no valid checkpoint" in capsys.readouterr().err


# Rows of losses.jsonl.


def lines_of(directory):
    return directory.losses.read_text().splitlines(keepends=True)


def without(*numbers):
    def damage(directory):
        kept = [line for number, line in enumerate(lines_of(directory), start=1) if number not in numbers]
        directory.losses.write_text("".join(kept))

    return damage


def doubled(directory):
    lines = lines_of(directory)
    directory.losses.write_text("".join([*lines[:6], *lines[3:]]))


def garbled(directory):
    lines = lines_of(directory)
    directory.losses.write_text("".join([*lines[:3], "\x00" * 40 + "\n", *lines[4:]]))


def evaluation_gone(directory):
    rows = [line for line in lines_of(directory) if '"iteration": 3, "epoch": 1, "split": "validation"' not in line]
    assert len(rows) < len(lines_of(directory))
    directory.losses.write_text("".join(rows))


@pytest.mark.parametrize(
    "damage",
    [without(1), without(5, 6, 7), without(*range(1, 40)), without(13), doubled, garbled, evaluation_gone,
     lambda d: d.losses.unlink()],
    ids=["first", "middle", "all", "late", "doubled", "garbled", "evaluation", "file"],
)  # fmt: skip
def test_lost_rows_are_noticed_and_computed_again(tmp_path, whole, caplog, damage):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    damage(directory)
    run = begun(configuration)
    assert run.iteration < 14
    assert "can't be continued" in caplog.text
    ended(run)
    assert directory.losses.read_bytes() == whole.losses.read_bytes()
    left, right = (checkpoints.load(checkpoints.path_of(d.checkpoints, 18)) for d in (directory, whole))
    assert differing(left, right) == []


def test_lost_rows_are_not_noticed_where_nobody_looks(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(LossLog, "lost", classmethod(lambda cls, *_: None))
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    without(5, 6, 7)(directory)
    trained(configuration)
    assert directory.losses.read_bytes() != whole.losses.read_bytes()


def test_a_run_goes_back_no_further_than_to_the_rows_that_are_left(tmp_path, whole):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    assert checkpoints.iterations_in(directory.checkpoints) == [9, 12, 14]
    lines = lines_of(directory)
    row = next(number for number, line in enumerate(lines) if line.startswith('{"iteration": 11'))
    directory.losses.write_text("".join(lines[:row]) + lines[row][:10])
    run = begun(configuration)
    assert run.iteration == 9
    ended(run)
    assert directory.losses.read_bytes() == whole.losses.read_bytes()


def test_a_run_that_went_back_keeps_its_new_checkpoints(tmp_path):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    directory.losses.unlink()
    cut_off(configuration, 6)
    assert checkpoints.iterations_in(directory.checkpoints) == [3, 4, 9, 12, 14]
    run = begun(configuration)
    assert run.iteration == 4
    ended(run)


def test_rows_of_a_run_that_logs_no_losses_are_not_missed(tmp_path, capsys):
    directory = completed(configured(tmp_path, {"checkpoint": {"every": "4 iterations"}}))
    assert not directory.losses.exists()
    assert resumed(directory) == launch.COMPLETED
    printed = capsys.readouterr().err
    assert "is completed: trained" in printed


# States that are as they were written and don't fit.


def renamed(state):
    state["handlers"]["ema"]["average"] = state["handlers"]["ema"].pop("model")


def smaller(state):
    name = next(iter(state["model"]))
    state["model"][name] = state["model"][name][:2]


def other_optimizer(state):
    for values in state["optimizers"]["main"]["state"].values():
        values["exp_avg"] = (
            torch.zeros(3, 3)[: values["exp_avg"].dim()] if values["exp_avg"].dim() < 2 else torch.zeros(3, 3)
        )


CHANGES = [
    (renamed, r"the state of the handler ema: has no 'model'; the checkpoint has \"updates, average\""),
    (lambda s: s.pop("module"), "the state of the module is missing"),
    (lambda s: s.pop("handlers"), "the state of the handlers is missing"),
    (lambda s: s["optimizers"].clear(), "the state of the optimizer main is missing"),
    (other_optimizer, "the state of the optimizer main: exp_avg of parameter 0 has shape"),
    (lambda s: s.pop("model"), "the state of the model is missing"),
    (smaller, "the state of the model: .*size mismatch"),
    (lambda s: s.update(epoch_length=7), "the checkpoint's epochs have 7 iterations, this run's 9"),
    (lambda s: s["dispatcher"].pop("pending"), "the state of the run: has no 'pending'"),
    (lambda s: s["handlers"].update(ema=None), "the state of the handler ema: TypeError"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_state_that_does_not_fit_is_passed_over_for_an_earlier_one(tmp_path, whole, caplog, change, said):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    rewritten(directory, 14, change)
    run = begun(configuration)
    assert run.iteration == 12
    warnings = [record.getMessage() for record in caplog.records if "doesn't fit the run" in record.getMessage()]
    assert len(warnings) == 1
    assert re.search(said, warnings[0])
    ended(run)
    assert directory.losses.read_bytes() == whole.losses.read_bytes()
    left, right = (checkpoints.load(checkpoints.path_of(d.checkpoints, 18)) for d in (directory, whole))
    assert differing(left, right) == []


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_where_none_fits_it_is_refused_by_name_and_nothing_is_deleted(tmp_path, change, said):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    kept = checkpoints.iterations_in(directory.checkpoints)
    for iteration in kept:
        rewritten(directory, iteration, change)
    with pytest.raises(Refusal, match=f"no checkpoint fits the run: .*14: .*{said}") as caught:
        begun(configuration)
    assert len(str(caught.value).splitlines()) == 1
    assert checkpoints.iterations_in(directory.checkpoints) == kept


def test_a_state_of_another_iteration_is_passed_over(tmp_path, caplog):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 14).directory
    rewritten(directory, 14, foreign)
    assert ended(begun(configuration)).resumed_at == 12
    assert "is not the state of iteration 14" in caplog.text


# The best checkpoint.

BEST = {"evaluation": {"every": "3 iterations", "test": False}, "checkpoint": {"every": "3 iterations", "keep_last": 1}}


def best_and_last(folder, values, damage=lambda run: None):
    """Returns the iterations that are kept of a run whose metric had the values, damaged after the first of them."""
    configuration = configured(folder, BEST)
    run = begun(configuration)
    for number, value in enumerate(values):
        run.trainer.state.iteration = 3 * (number + 1)
        run.record_evaluation("validation", {"loss": value})
        run.handlers["checkpoint"].save()
        run.background.drain()
        if number == 0:
            damage(run)
    run.finish_early("not trained")
    ended(run)
    return checkpoints.iterations_in(run.directory.checkpoints)


def test_a_damaged_best_checkpoint_is_not_kept_in_the_place_of_a_valid_one(tmp_path, caplog):
    def damage(run):
        flip(state_file(run.directory, 3))

    assert best_and_last(tmp_path / "whole", [0.1, 0.3, 0.2, 0.4, 0.5]) == [3, 15]
    # The damaged one is left where it is; the best of those that can be used is kept beside it.
    assert best_and_last(tmp_path / "damaged", [0.1, 0.3, 0.2, 0.4, 0.5], damage) == [3, 9, 15]
    assert "counts neither as one of the last nor as the best" in caplog.text
    assert caplog.text.count("iteration_00000003/state.pt: its SHA-256") == 1


def test_a_damaged_best_checkpoint_crowds_the_valid_ones_out_where_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "_is_intact", lambda *_: True)
    damage = lambda run: flip(state_file(run.directory, 3))  # noqa: E731
    assert best_and_last(tmp_path, [0.1, 0.3, 0.2, 0.4, 0.5], damage) == [3, 15]


def test_what_this_process_wrote_is_not_read_again(tmp_path, monkeypatch):
    read = []
    verify = checkpoints.verify
    monkeypatch.setattr(checkpoints, "verify", lambda path: read.append(path.name) or verify(path))
    configuration = configured(tmp_path, HANDLERS)
    stopped(configuration, 14)
    assert read == []
    trained(configuration)
    # Once to be loaded, then those that an earlier process left, once each.
    assert sorted(read) == [f"iteration_{number:08d}" for number in (9, 12, 14, 14)]


# environment.json and status.json.

ODD = ["", "{", "[]", "[1, 2]", "null", '"text"', "3", '{"earlier": 5}', "[" * 100_000, '{"status": 1}', "\x00\x00"]


@pytest.mark.parametrize("text", ODD, ids=[text[:12] for text in ODD])
@pytest.mark.parametrize("name", ["environment.json", "status.json"])
def test_an_odd_record_is_started_anew(tmp_path, capsys, name, text):
    configuration = configured(tmp_path, HANDLERS)
    directory = stopped(configuration, 5).directory
    (directory.path / name).write_text(text)
    assert resumed(directory) == launch.COMPLETED
    printed = capsys.readouterr().err
    assert directory.status().state == "completed"
    assert json.loads(directory.environment.read_text())["epoch_length"] == 9
    assert "Traceback" not in printed
    if not text.startswith('{"'):
        assert f"{name} can't be read: written anew" in printed
