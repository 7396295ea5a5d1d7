"""A run to resume: its configuration and its checkpoint are held against what is given."""

import shutil

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.launch import launch
from firebox.engine.launch.admission import Request, configure
from firebox.engine.records.claiming import claim
from firebox.engine.training.factory import build
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests import ways_out

SETTINGS = ["datamodule.batch_size=600", "training.epochs=2", "scheduler=null", "training.device=cpu"]
QUIET = [f"handlers.{name}=false" for name in ("loss_log", "progress", "image_dump", "model_summary")]


def saved(folder, version, *assignments):
    """Returns the directory of a run that has a checkpoint of its start and was not finished."""
    root = [f"output.root={folder}/runs", f"output.version={version}"]
    configuration = read(TRAINER.name, TRAINER.default, None, [*SETTINGS, *QUIET, *root, *assignments])
    run = build(configuration)
    run.begin(claim(configuration))
    launch.start(run)
    run.handlers["checkpoint"].save()
    launch.close(run)
    run.directory.unlock()
    return run.directory


def checked(directory, *assignments, allowed=()):
    request = Request(TRAINER, None, assignments, resume=str(directory.path), allowed_changes=allowed)
    return preflight(*_given(request))


def _given(request):
    configuration, resumed = configure(request)
    return configuration, TRAINER, resumed


def test_a_run_can_be_resumed_where_its_version_exists(tmp_path):
    assert checked(saved(tmp_path, "a")).results["resumed_model"][0] == "passed"


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run, other = saved(tmp_path, "a"), saved(tmp_path, "b", "model.latent_dim=8")
    shutil.rmtree(run.checkpoints)
    shutil.copytree(other.checkpoints, run.checkpoints)
    with pytest.raises(Refusal) as caught:
        checked(run)
    text = str(caught.value)
    assert (
        f"model.name: {run.checkpoints}/iteration_00000000 is of another model: "
        "decoder.linear.weight is (3136, 8) there, " in text
    )
    assert "(3136, 64) here (3 of 12 differ); expected the run's own checkpoint" in text


@pytest.mark.parametrize(
    ("assignment", "key", "problem"),
    [
        ("model.latent_dim=8", "model.latent_dim", "the run has 64"),
        ("training.epochs=4", "training.epochs", "now 4; expected the same, or --allow-change training.epochs"),
        ("seed=8", "seed", "now 8; expected the same, or start a new run without --resume"),
        (
            "handlers.checkpoint.keep_last=4",
            "handlers.checkpoint.keep_last",
            "or --allow-change handlers.checkpoint.keep",
        ),
        ("datamodule.workers=1", "datamodule.workers", "or --allow-change datamodule.workers"),
    ],
)
def test_a_configuration_that_differs_is_refused_with_both_values(tmp_path, assignment, key, problem):
    with pytest.raises(Refusal) as caught:
        checked(saved(tmp_path, "a"), assignment)
    assert [found.key for found in caught.value.problems] == [key]
    text = str(caught.value)
    assert problem in text
    assert text.startswith(f"--set {key}  ")
    assert "config.yaml" in text


def test_what_may_change_is_allowed_by_name(tmp_path):
    directory = saved(tmp_path, "a")
    checked(directory, "training.epochs=4", allowed=["training.epochs"])
    checked(directory, "handlers.checkpoint.keep_last=4", allowed=["handlers"])
    with pytest.raises(Refusal, match="--allow-change seed: can't be changed in a run"):
        checked(directory, "seed=8", allowed=["seed"])


@pytest.mark.parametrize("assignment", ["training.epochs=4", "handlers.checkpoint.keep_last=4", "datamodule.workers=1"])
def test_the_change_that_a_message_proposes_to_allow_is_allowed(tmp_path, assignment):
    run = saved(tmp_path / "with a space", "a")
    with pytest.raises(Refusal) as caught:
        checked(run, assignment)
    ((option, key),) = ways_out.options(caught.value.problems[0].message)
    assert option == "--allow-change"
    checked(run, assignment, allowed=[key])


def test_the_run_that_a_message_proposes_to_resume_is_resumed(tmp_path):
    run = saved(tmp_path / "with a space", "a")
    again = [*SETTINGS, *QUIET, f"output.root={tmp_path}/with a space/runs", "output.version=a"]
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, None, again), TRAINER)
    ((option, path),) = ways_out.options(caught.value.problems[0].message)
    assert (option, path) == ("--resume", str(run.path))
    preflight(*_given(Request(TRAINER, None, again, resume=path)))


def test_a_handler_from_a_file_with_a_space_is_left_out_as_its_message_proposes(tmp_path, monkeypatch):
    folder = tmp_path / "with a space"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    body = "    writes = ('losses.jsonl',)\n    def attach(self, run): ...\n"
    (folder / "own.py").write_text(f"from firebox import Handler\nclass Own(Handler):\n{body}")
    given = [*SETTINGS, "handlers=['with a space/own.py:Own', loss_log: false, 'firebox.handlers.loss_log:LossLog']"]
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, None, given), TRAINER)
    (way,) = ways_out.settings(caught.value.problems[0].message)
    assert way == "handlers.with a space/own.py:Own=false"
    preflight(read(TRAINER.name, TRAINER.default, None, [*given, way]), TRAINER)
