"""Runs that learn to draw images out of noise: killed, resumed, replayed, archived and examined."""

import json
import signal

import numpy
import pytest
import torch
import yaml
from PIL import Image

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.measurement import measure
from firebox.engine.commands.command_line import main
from firebox.experiments import denoising_trajectory, guidance_sweep, interpolate, steps_sweep
from firebox.foundation.pictures import as_bytes
from firebox.foundation.randomness import generator
from firebox.trainers.train_diffusion_baseline import TRAINER
from tests.exactness import Forked, differences, kill_at, only_run, output
from tests.soaking import SOAK

ITERATIONS = 12
MODULES = {
    "flow_matching": {"name": "flow_matching", "sampling_steps": 2, "guidance_scale": 1.5},
    "ddpm": {"name": "ddpm", "prediction": "v", "timesteps": 20, "sampling_steps": 3, "label_dropout": 0.0},
}


def write_configuration(folder, module):
    content = {
        "trainer": "diffusion_baseline",
        "seed": 11,
        "datamodule": {
            "name": "fashion_mini", "limit": 60, "batch_size": 10, "evaluation_batch_size": 20, "pixel_range": "[-1,1]",
        },
        "model": {"name": "diffusion_unet", "channels": [4, 8], "blocks": 1, "embedding_dim": 8},
        "module": MODULES[module],
        "training": {"epochs": 2, "device": "cpu", "gradient_clip_norm": 1.0},
        "output": {"root": str(folder / "runs")},
        "handlers": [
            {"checkpoint": {"every": "5 iterations"}},
            {"image_dump": {"every": "1 epoch", "count": 3}},
            {"ema": {"decay": 0.9}},
        ],
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


@pytest.fixture(scope="module", params=list(MODULES))
def whole(tmp_path_factory, request):
    """The run that is never stopped."""
    configuration = write_configuration(tmp_path_factory.mktemp(request.param), request.param)
    assert Forked(str(configuration), trainer=TRAINER).wait() == 0, output(configuration)
    return only_run(configuration.parent)


@pytest.fixture(scope="module")
def archive(whole):
    """The archive of that run."""
    assert main(["archive", str(whole)]) == 0
    (folder,) = whole.parent.parent.glob("archived_*")
    return folder


def kind(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())["module"]["name"]


def test_a_run_that_is_killed_resumes_exactly(whole, tmp_path):
    if kind(whole) == "ddpm" and not SOAK:
        pytest.skip("takes long: make soak")
    configuration = write_configuration(tmp_path, kind(whole))
    assert Forked(str(configuration), prepare=kill_at(8), trainer=TRAINER).wait() == -signal.SIGKILL
    assert Forked(str(configuration), "--resume", trainer=TRAINER).wait() == 0, output(configuration)
    resumed = only_run(tmp_path)
    assert differences(whole, resumed) == []
    # The test can tell: one bit of one loss would be noticed.
    losses = resumed / "losses.jsonl"
    losses.write_text(losses.read_text().replace("1", "2", 1))
    assert differences(whole, resumed) == ["losses.jsonl"]


def test_every_iteration_can_be_replayed(whole, capsys):
    for iteration in (2, ITERATIONS) if SOAK else (ITERATIONS,):
        assert main(["replay", str(whole), "--iteration", str(iteration)]) == 0, capsys.readouterr().err


def test_the_loss_by_tenths_of_the_time_and_the_pictures_are_in_the_run(whole):
    rows = [json.loads(line) for line in (whole / "losses.jsonl").read_text().splitlines()]
    (last,) = [row for row in rows if row["split"] == "validation" and row["iteration"] == ITERATIONS]
    tenths = [last[f"loss_t{k}"] for k in range(10)]
    assert all(0 < loss < 10 for loss in tenths if loss is not None)
    names = {path.name.split("_", 2)[2] for path in (whole / "images" / "validation").iterdir()}
    assert names == {"samples.png", "trajectory.png", "estimates.png", "loss_by_time.png"}


def test_an_archive_measures_what_the_run_did_and_draws_the_same_images_again(archive):
    loaded = load_archive(archive)
    card = json.loads((archive / "card.json").read_text())
    assert card["metrics"]["test"]["loss"]["value"] == measure(loaded.run, "test")["loss"] > 0
    images = loaded.module.sample(4, generator(1))
    assert images.shape == (4, 1, 28, 28) and images.isfinite().all()
    loaded.model.train()
    assert torch.equal(loaded.module.sample(4, generator(1)), images)
    assert not torch.equal(loaded.module.sample(4, generator(2)), images)


def test_the_loss_of_an_evaluation_does_not_depend_on_the_size_of_its_batches(archive):
    run = load_archive(archive).run
    stream = run.streams["test"]
    losses = []
    for size in (20, 7):
        run.evaluator.run(list(stream.in_order(60, size)), max_epochs=1)
        losses.append(run.evaluator.state.metrics["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_trajectory_is_drawn_with_its_levels_of_noise(archive, capsys):
    assert denoising_trajectory.EXPERIMENT.run([str(archive), "--count", "2"]) == 0, capsys.readouterr().err
    found = json.loads((archive / "experiments" / "denoising_trajectory.json").read_text())
    assert found["noise"][0] == pytest.approx(1, abs=0.01) and found["noise"][-1] == 0
    assert found["rms_of_estimate_from_result"][-1] == 0
    moments = found["steps"] + 1
    with Image.open(archive / "experiments" / "denoising_trajectory.png") as picture:
        assert picture.size == (moments * 86 + 2, 2 * 2 * 86 + 2)


def test_interpolate_walks_between_noise_each_row_in_a_class_of_its_own(archive, capsys):
    assert interpolate.EXPERIMENT.run([str(archive), "--count", "2"]) == 0, capsys.readouterr().err
    found = json.loads((archive / "experiments" / "interpolate.json").read_text())
    assert found["pairs"] == 2 and len(found["pixel_distances_per_step"][0]) == 8
    with Image.open(archive / "experiments" / "interpolate.png") as picture:
        drawn = numpy.asarray(picture)
    loaded = load_archive(archive)
    module, specification = loaded.module, loaded.specification
    noise = module.draw_latents(4, generator(11, "interpolate"))
    for column, ends in ((0, noise[:2]), (8, noise[2:])):
        *_, last = module.trajectory(ends, torch.tensor([0, 1]))
        for row, image in enumerate(as_bytes(specification.to_unit(last.images))):
            place = drawn[2 + 86 * row :, 2 + 86 * column :][:84:3, :84:3]
            assert numpy.abs(place.astype(int) - image[0].numpy()).max() <= 1


def test_steps_are_swept_up_to_as_many_as_there_are(archive, capsys):
    assert steps_sweep.EXPERIMENT.run([str(archive), "--count", "3"]) == 0, capsys.readouterr().err
    found = json.loads((archive / "experiments" / "steps_sweep.json").read_text())
    steps = [row["steps"] for row in found["results"]]
    assert steps == ([1, 2, 5, 10, 20] if kind(archive) == "ddpm" else [1, 2, 5, 10, 20, 50])
    assert found["results"][-1]["rms_from_last"] == 0 < found["results"][0]["rms_from_last"]


def test_guidance_is_swept_where_the_network_has_learnt_to_do_without_classes(archive, capsys):
    code = guidance_sweep.EXPERIMENT.run([str(archive), "--count", "3"])
    said = capsys.readouterr().err
    if kind(archive) == "ddpm":
        assert code == 2 and said.count("\n") == 1
        assert "guidance_sweep draws with guidance" in said and "label_dropout is 0" in said
        assert not (archive / "experiments" / "guidance_sweep.json").exists()
    else:
        assert code == 0, said
        found = json.loads((archive / "experiments" / "guidance_sweep.json").read_text())
        assert [row["guidance_scale"] for row in found["results"]] == [0, 1, 1.5, 2, 3, 5]
        assert len({row["rms_from_last"] for row in found["results"]}) == 6


@pytest.mark.parametrize("given", ["autoencoder", "nothing"])
def test_what_is_no_classifier_of_the_data_is_refused(archive, given, capsys, tmp_path):
    path = archive if given == "autoencoder" else tmp_path / "nothing"
    assert steps_sweep.EXPERIMENT.run([str(archive), "--classifier", str(path)]) == 2
    said = capsys.readouterr().err
    assert "is no classifier with features" in said if given == "autoencoder" else "nothing" in said
