"""Runs that denoise and that quantise: killed, resumed, replayed and archived, as exact as any other."""

import os
import shutil
import signal

import pytest
import torch
import yaml
from ignite.engine import Events

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.measurement import measure
from firebox.engine.commands.command_line import main
from firebox.engine.commands.train import trainers
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.records import checkpoints
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.handlers import DEFAULTS
from tests.exactness import Forked, differences, only_run, output, with_handler
from tests.handlers.runs import begun, ended

FAMILIES = {
    "denoising_baseline": {
        "model": {"name": "denoising_baseline", "channels": [4, 6]},
        "module": {"name": "denoising", "sigma": 0.3},
    },
    "vqvae_baseline": {
        "model": {"name": "vqvae_baseline", "channels": [4, 6], "embedding_dim": 5, "num_embeddings": 12},
        "module": {"name": "vector_quantised", "decay": 0.9, "restart_below": 0.3},
    },
}
ITERATIONS = 16
METRIC = {"denoising_baseline": "psnr_of_input", "vqvae_baseline": "perplexity"}
PICTURE = {"denoising_baseline": "denoising", "vqvae_baseline": "codebook_usage"}


def write_configuration(folder, family):
    content = {
        "trainer": family,
        "seed": 11,
        "datagenerator": {
            "name": "shapes",
            "image_size": [17, 16],
            "train_length": 120,
            "validation_length": 24,
            "test_length": 24,
            "batch_size": 16,
            "augmentations": ["random_horizontal_flip"],
        },
        **FAMILIES[family],
        "scheduler": {"name": "one_cycle", "max_lr": 0.01},
        "training": {"epochs": 2, "device": "cpu"},
        "output": {"root": str(folder / "runs"), "version": "run"},
        "handlers": [
            {"checkpoint": {"every": "3 iterations"}},
            {"image_dump": {"every": "1 epoch", "count": 4}},
            {"ema": {"decay": 0.9}},
            {"progress": False},
            {"model_summary": False},
            {"loss_plot": False},
        ],
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


def configured(path, family, *assignments):
    return read(family, trainers()[family].default, path, assignments)


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request, tmp_path_factory):
    """The family, and its run that is never stopped."""
    path = write_configuration(tmp_path_factory.mktemp("whole"), request.param)
    assert train(configured(path, request.param), None, StopRequest()) == 0
    return request.param, only_run(path.parent)


def kill(run):
    """Kills a run at iteration 5, once its checkpoint of iteration 3 is there to be resumed from."""
    if run.iteration == 5:
        run.background.drain()
        os.kill(os.getpid(), signal.SIGKILL)


KILLED = with_handler(Events.ITERATION_COMPLETED, kill)


def unseeded(run):
    """Draws an iteration's noise from wherever the generator is."""
    run.training.seeder = type("Unseeded", (), {"__call__": lambda *_: None, "others": run.training.seeder.others})()


def forgotten(run):
    """Has the codebook's moving counts from elsewhere than the checkpoint."""
    run.model.codebook.counts.fill_(1.0)


SABOTAGE = {"denoising_baseline": unseeded, "vqvae_baseline": forgotten}


def test_a_run_that_is_killed_resumes_exactly(whole, tmp_path):
    family, reference = whole
    path, trainer = write_configuration(tmp_path, family), trainers()[family]
    assert Forked(str(path), prepare=KILLED, trainer=trainer).wait() == -signal.SIGKILL
    run = only_run(tmp_path)
    shutil.copytree(run, tmp_path / "copy")
    assert Forked(str(path), "--resume", trainer=trainer).wait() == 0, output(path)
    assert differences(reference, run) == []
    # The test can tell: what is wrong with the resumed run alone is noticed.
    shutil.rmtree(run)
    shutil.copytree(tmp_path / "copy", run)
    resumed = begun(configured(path, family))
    assert resumed.iteration == 3
    SABOTAGE[family](resumed)
    ended(resumed)
    assert any("/model/" in name for name in differences(reference, run))


def test_every_iteration_can_be_replayed(whole, capsys):
    assert main(["replay", str(whole[1]), "--iteration", "7"]) == 0, capsys.readouterr().err


def test_an_archive_measures_what_the_run_did(whole, capsys):
    family, reference = whole
    assert main(["archive", str(reference)]) == 0
    archive = load_archive(capsys.readouterr().out.splitlines()[-1])
    assert measure(archive.run, "test")[METRIC[family]] == archive.card["metrics"]["test"][METRIC[family]]["value"]
    assert any(PICTURE[family] in path.name for path in (archive.path / "images" / "validation").iterdir())
    if family == "vqvae_baseline":
        averaged = checkpoints.load(checkpoints.path_of(reference / "checkpoints", ITERATIONS))["handlers"]["ema"]
        kept = archive.model.codebook.embeddings.detach()
        assert torch.equal(kept, averaged["model"]["codebook.embeddings"]), "its codebook is that of its encoder"


def assembled(folder, *assignments):
    off = [f"handlers.{name}=false" for name in DEFAULTS]
    return build(configured(write_configuration(folder, "vqvae_baseline"), "vqvae_baseline", *off, *assignments))


def test_a_codebook_is_averaged_as_its_encoder_is(tmp_path):
    run = assembled(tmp_path)
    names = ("codebook.embeddings", "encoder.0.weight")
    expected = {name: run.model.state_dict()[name].clone() for name in names}

    def average():
        decay = min(0.9, (1 + run.iteration) / (10 + run.iteration))
        for name in names:
            expected[name].lerp_(run.model.state_dict()[name], 1 - decay)

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, average)
    run.handlers["ema"].start(run)
    run.trainer.run(run.streams["train"], max_epochs=1)
    for name in names:
        averaged, live = run.evaluated_model.state_dict()[name], run.model.state_dict()[name]
        torch.testing.assert_close(averaged, expected[name])
        assert not torch.allclose(averaged, live), "the live one is another: what it codes means something else"


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_codebook_stays_as_it_began(tmp_path, frozen):
    freeze = ["model.freeze=[codebook]"] if frozen else []
    run = assembled(tmp_path, *freeze)
    seen = []
    run.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: seen.append(run.model.codebook.embeddings.detach().clone())
    )
    run.trainer.run(run.streams["train"], max_epochs=1)
    assert seen[0].abs().sum() > 0
    assert torch.equal(seen[0], seen[-1]) == frozen
