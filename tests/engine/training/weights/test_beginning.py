"""What a model begins with: the weights of an earlier one, and what of it is not trained."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.making import archive_run
from firebox.engine.checks.report import preflight
from firebox.engine.launch import launch
from firebox.engine.launch.replay import replay
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.files import digest
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.engine.training.weights.test_parameter_groups import HANDLERS, normed
from tests.handlers.runs import RunDirectory, begun, ended, rows_of, stopped, trained


def weights_of(run, folder, **changes):
    """Writes the weights of a run's model; a tensor that is None is left out."""
    tensors = {name: value.clone() for name, value in run.model.state_dict().items()} | changes
    file = folder / "earlier.safetensors"
    save_file({name: value for name, value in tensors.items() if value is not None}, file)
    return file


@pytest.fixture
def earlier(tmp_path):
    return weights_of(trained(normed(tmp_path / "earlier", training={"epochs": 1})), tmp_path)


def refusal(configuration):
    with pytest.raises(Refusal) as caught:
        preflight(configuration, TRAINER)
    (problem,) = caught.value.problems
    return str(problem)


def test_a_model_begins_with_the_weights_of_a_file(tmp_path, earlier):
    run = begun(normed(tmp_path, model={"weights": str(earlier)}))
    again = trained(normed(tmp_path / "earlier", training={"epochs": 1}))
    assert all(map(torch.equal, run.model.state_dict().values(), again.model.state_dict().values()))
    recorded = json.loads(run.directory.environment.read_text())["weights"]
    ended(run)
    assert recorded["sha256"] == digest(earlier)
    assert (len(recorded["taken"]), recorded["left"], recorded["initialised"]) == (11, {}, [])


def test_what_does_not_fit_is_left_and_said(tmp_path, caplog):
    caplog.set_level("INFO", "firebox")
    donor = build(normed(tmp_path / "donor"))
    changes = {"decoder.0.weight": torch.ones(64, 5), "decoder.0.bias": None, "head.weight": torch.ones(2)}
    file = weights_of(donor, tmp_path, **changes)
    configuration = normed(tmp_path, model={"weights": str(file)})
    run = begun(configuration)
    recorded = json.loads(run.directory.environment.read_text())["weights"]
    ended(run)
    assert recorded["left"] == {
        "decoder.0.weight": "of shape (64, 5), the model's is (64, 4)",
        "head.weight": "the model has none of this name",
    }
    assert recorded["initialised"] == ["decoder.0.weight", "decoder.0.bias"]
    assert "model.weights: took 9 of 11 tensors of" in caplog.text
    assert 'begin as initialised: "decoder.0.weight, decoder.0.bias' in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("absent.safetensors", None, "no such file or archive: "),
        ("model.pt", b"pickle", "expected an archive's folder or a .safetensors file, which can hold no code"),
        ("torn.safetensors", b"\x08\0\0\0\0\0\0\0{", "SafetensorError"),
        ("folder", "folder", "a folder that is no archive; expected an archive's folder or"),
    ],
)
def test_what_are_no_weights_is_refused_at_its_place(tmp_path, name, content, problem):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    message = refusal(normed(tmp_path, model={"weights": name}))
    assert "configuration.yaml:" in message and "model.weights: " in message and problem in message
    assert not (tmp_path / "runs").exists()


def test_weights_of_which_none_fits_are_refused(tmp_path):
    save_file({"head.weight": torch.ones(2)}, tmp_path / "other.safetensors")
    message = refusal(normed(tmp_path, model={"weights": "other.safetensors"}))
    assert 'fits the model: "head.weight: the model has none of this name"; the model has "encoder.1.weight' in message


def test_weights_of_which_a_count_of_batches_alone_fits_are_refused(tmp_path):
    save_file({"encoder.2.num_batches_tracked": torch.tensor(3)}, tmp_path / "other.safetensors")
    assert 'fits the model: "it has no parameters' in refusal(normed(tmp_path, model={"weights": "other.safetensors"}))


def test_a_resumed_run_needs_the_weights_no_more_and_equals_the_uninterrupted(tmp_path, earlier):
    whole = trained(normed(tmp_path / "whole", model={"weights": str(earlier)}))
    configuration = normed(tmp_path / "stopped", model={"weights": str(earlier)})
    stopped(configuration, 7)
    directory = RunDirectory(configuration.directory / "run")
    assert replay(configuration, directory, 2).equal
    earlier.unlink()
    assert launch.train(configuration, directory, StopRequest()) == launch.COMPLETED
    assert directory.losses.read_bytes() == whole.directory.losses.read_bytes()
    plain = trained(normed(tmp_path / "plain"))
    assert rows_of(plain)[0]["loss"] != rows_of(whole)[0]["loss"]


def test_an_archive_is_verified_and_its_card_says_what_a_later_one_began_with(tmp_path):
    first = normed(tmp_path / "first", handlers={**HANDLERS, "evaluation": {}})
    assert launch.train(first, None, StopRequest()) == launch.COMPLETED
    archive = archive_run(first.directory / "run", "last")
    named = normed(tmp_path / "first", model={"weights": f"{archive.parent.name}/{archive.name}"})
    assert named.weights.path == archive
    handlers = {**HANDLERS, "evaluation": {}}
    second = normed(tmp_path / "second", model={"weights": str(archive)}, handlers=handlers)
    assert launch.train(second, None, StopRequest()) == launch.COMPLETED
    archive_run(second.directory / "run", "last")
    (later,) = (tmp_path / "second" / "runs" / "shapes").glob("archived_*")
    began = load_archive(later, trust_code=True).card["model"]["weights"]
    assert began["sha256"] == digest(archive / "weights.safetensors")
    shutil.copytree(archive, tmp_path / "copy")
    for path in (tmp_path / "copy", tmp_path / "copy" / "metrics.json"):
        path.chmod(0o755)
    (tmp_path / "copy" / "metrics.json").write_text("{}")
    assert "its SHA-256 is not the card's" in refusal(normed(tmp_path, model={"weights": str(tmp_path / "copy")}))


def test_what_is_frozen_is_not_trained_and_its_normalisation_keeps_its_statistics(tmp_path):
    configuration = normed(tmp_path, model={"freeze": ["encoder"]}, handlers={**HANDLERS, "evaluation": {}, "ema": {}})
    preflight(configuration, TRAINER)
    before = {name: value.clone() for name, value in build(configuration).model.state_dict().items()}
    run = trained(configuration)
    after = run.model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "decoder.0.weight", "decoder.0.bias", "decoder.1.weight", "decoder.1.bias",
    }  # fmt: skip
    assert not run.model.encoder[2].training
    assert run.model.decoder.training


def test_a_layer_of_which_patterns_fit_all_parameters_is_frozen(tmp_path):
    run = build(normed(tmp_path, model={"freeze": ["encoder.2.*"]}))
    assert not run.model.encoder[2].training
    assert run.model.encoder[1].training
    run = build(normed(tmp_path, model={"freeze": ["encoder.2.weight", "*.bias"]}))
    assert not run.model.encoder[2].training


def test_a_frozen_weight_alone_leaves_the_statistics_of_its_layer(tmp_path):
    run = build(normed(tmp_path, model={"freeze": ["encoder.2.weight"]}))
    assert run.model.encoder[2].training
    assert [n for n, p in run.model.named_parameters() if not p.requires_grad] == ["encoder.2.weight"]


def test_patterns_that_fit_nothing_and_models_with_nothing_left_are_refused(tmp_path):
    message = refusal(normed(tmp_path, model={"freeze": ["encodr"]}))
    assert 'model.freeze: got "encodr", which fits no parameter; did you mean encoder?' in message
    assert 'got "", which fits no parameter; expected a pattern' in refusal(normed(tmp_path, model={"freeze": [""]}))
    assert "nothing to train" in refusal(normed(tmp_path, model={"freeze": ["*"]}))


def test_a_models_own_settings_of_these_names_are_its_own(tmp_path):
    source = """
from torch import nn

class Own(nn.Module):
    def __init__(self, input_shape, *, latent_dim: int = 4, weights: str = "ours"):
        super().__init__()
        self.layer, self.weights = nn.Conv2d(1, 1, 3, padding=1), weights
    def forward(self, images):
        return self.layer(images)
"""
    normed(tmp_path)
    (tmp_path / "other.py").write_text(source)
    configuration = normed(tmp_path, model={"name": "other.py:Own", "weights": "theirs"})
    assert configuration.weights is None
    assert build(configuration).model.weights == "theirs"
