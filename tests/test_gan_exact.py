"""A run with a generator and a critic: killed, resumed, replayed, archived and sampled, as exact as any other."""

import json
import signal

import pytest
import torch
import yaml
from PIL import Image

from firebox.engine.archives.loading import load_archive, load_model
from firebox.engine.commands.command_line import main
from firebox.engine.records import checkpoints
from firebox.experiments.interpolate import EXPERIMENT as INTERPOLATE
from firebox.experiments.interpolate import arcs
from firebox.experiments.nearest_training_image import EXPERIMENT as NEAREST
from firebox.experiments.nearest_training_image import nearest
from firebox.experiments.reconstruct import EXPERIMENT as RECONSTRUCT
from firebox.experiments.sample import EXPERIMENT as SAMPLE
from firebox.foundation.randomness import generator
from firebox.trainers.train_gan_baseline import TRAINER
from tests.exactness import Forked, differences, kill_at, only_run, output
from tests.soaking import SOAK

ITERATIONS = 20
MODULES = ["gan", "wgan_gp"] if SOAK else ["wgan_gp"]


def write_configuration(folder, module):
    content = {
        "trainer": "gan_baseline",
        "seed": 11,
        "datamodule": {
            "name": "fashion_mini",
            "limit": 200,
            "batch_size": 20,
            "pixel_range": "[-1,1]",
            "augmentations": ["random_horizontal_flip"],
        },
        "model": {"name": "gan_baseline", "channels": [4, 6], "latent_dim": 4},
        "module": {"name": module, **({"critic_steps": 3} if module == "wgan_gp" else {})},
        "optimizer": {"name": "adam", "lr": 0.001, "betas": [0, 0.9], "parts": {"critic": {"lr": 0.002}}},
        "training": {"epochs": 2, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [
            {"checkpoint": {"every": "3 iterations", "keep_best": 0}},
            {"image_dump": {"every": "1 epoch", "count": 4}},
            {"ema": {"decay": 0.9}},
        ],
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


@pytest.fixture(scope="module", params=MODULES)
def whole(request, tmp_path_factory):
    """The run that is never stopped."""
    configuration = write_configuration(tmp_path_factory.mktemp("whole"), request.param)
    assert Forked(str(configuration), trainer=TRAINER).wait() == 0, output(configuration)
    return only_run(configuration.parent)


@pytest.fixture(scope="module")
def archive(whole):
    assert main(["archive", str(whole), "--checkpoint", "last"]) == 0
    (folder,) = whole.parent.parent.glob("archived_*")
    return folder


def module_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())["module"]["name"]


def test_a_gan_that_is_killed_resumes_exactly(whole, tmp_path):
    configuration = write_configuration(tmp_path, module_of(whole))
    assert Forked(str(configuration), prepare=kill_at(8), trainer=TRAINER).wait() == -signal.SIGKILL
    assert Forked(str(configuration), "--resume", trainer=TRAINER).wait() == 0, output(configuration)
    assert differences(whole, only_run(tmp_path)) == []
    state = checkpoints.load(checkpoints.path_of(whole / "checkpoints", ITERATIONS))
    averaged, trained = state["handlers"]["ema"]["model"], state["model"]
    differing = {name.split(".")[0] for name in trained if not torch.equal(trained[name], averaged[name])}
    assert differing == {"generator"}
    # The test can tell: one bit of one loss would be noticed.
    losses = only_run(tmp_path) / "losses.jsonl"
    losses.write_text(losses.read_text().replace("1", "2", 1))
    assert differences(whole, only_run(tmp_path)) == ["losses.jsonl"]


def test_every_iteration_of_a_gan_can_be_replayed(whole, capsys):
    for iteration in (2, 9, ITERATIONS):
        assert main(["replay", str(whole), "--iteration", str(iteration)]) == 0, capsys.readouterr().err


def test_a_gan_logs_both_sides_and_shows_the_same_noise(whole):
    rows = [json.loads(line) for line in (whole / "losses.jsonl").read_text().splitlines()]
    logged = {
        "gan": {"loss", "critic_loss", "d_real", "d_drawn", "learning_rate/critic"},
        "wgan_gp": {"loss", "critic_loss", "wasserstein", "gradient_norm", "score_real", "score_drawn"},
    }
    assert all(logged[module_of(whole)] <= row.keys() for row in rows if row["split"] == "train")
    last = [whole / "images" / split / f"iteration_{ITERATIONS:08d}_samples.png" for split in ("train", "test")]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_an_archived_gan_is_verified_and_draws_the_same_images(archive):
    for load in (load_archive, load_model):
        archived = load(archive)
        with torch.inference_mode():
            once, again = (archived.module.sample(3, generator(5)) for _ in range(2))
        assert torch.equal(once, again)
        assert once.shape == (3, 1, 28, 28) and once.abs().max() <= 1
        archived.model.train()  # the statistics of the batch are not those of the training
        assert torch.equal(archived.module.sample(3, generator(5)), once)
        assert archived.model.generator.training


def found(archive, name):
    with Image.open(archive / "experiments" / f"{name}.png") as picture:
        picture.load()
        return json.loads((archive / "experiments" / f"{name}.json").read_text()), picture.size


def test_sample_draws_a_grid(archive):
    assert SAMPLE.run([str(archive), "--count", "16"]) == 0
    content, size = found(archive, "sample")
    assert content["images"] == 16 and content["seed"] == 11
    assert size == (8 * 86 + 2, 2 * 86 + 2)


def test_interpolate_walks_between_drawn_latents(archive):
    assert INTERPOLATE.run([str(archive), "--count", "3"]) == 0
    content, size = found(archive, "interpolate")
    assert content["pairs"] == 3 and len(content["latent_distances"]) == 3
    assert size == (9 * 86 + 2, 3 * 86 + 2)


def test_an_arc_keeps_the_length_that_a_line_loses():
    first, second = torch.eye(2, dtype=torch.float64) * 3
    walk = arcs(first.unsqueeze(0), second.unsqueeze(0), 5)[0]
    torch.testing.assert_close(walk.norm(dim=1), torch.full((5,), 3.0, dtype=torch.float64))
    assert torch.allclose(walk[[0, -1]], torch.stack([first, second]))
    assert torch.lerp(first, second, 0.5).norm() < 2.2


def test_the_nearest_training_image_of_a_training_image_is_itself(archive):
    assert NEAREST.run([str(archive), "--count", "5"]) == 0
    content, size = found(archive, "nearest_training_image")
    assert len(content["distances"]) == len(content["training_images"]) == 5 and content["copies"] == 0
    assert size == (5 * 86 + 2, 2 * 86 + 2)
    run = load_archive(archive).run
    own = run.preparation(run.streams["train"].first(7)).images
    distances, indices = nearest(run, run.data.specification.to_unit(own)[3:])
    assert indices.tolist() == [3, 4, 5, 6]
    assert distances.max() < 1e-2


def test_a_critics_score_is_no_reconstruction(archive, capsys):
    assert RECONSTRUCT.run([str(archive)]) == 2
    assert "reconstruct needs a model with images as output; GANBaseline has none" in capsys.readouterr().err
