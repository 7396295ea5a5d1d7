"""One run on 1, 2 or 4 processes: everything it leaves is the same, bit for bit."""

import json
import signal
from pathlib import Path

import pytest
import torch.distributed as dist
import yaml

from firebox.data.assets import make_pairs
from firebox.engine.components.catalogue import catalogue
from firebox.engine.components.targets import Target
from firebox.engine.world.exchange import Exchanges
from firebox.foundation.randomness import IterationSeeder
from tests.engine.training.processes.test_sharded import adversarial
from tests.exactness import Forked, differences, kill_at, only_run, output, write_configuration
from tests.soaking import SOAK
from tests.worlds import SMALL, run_on, scalars

BATCHES = {"batch_size": 32, "limit": 70, "evaluation_batch_size": 16}
"""Two whole batches and one of 6 images an epoch."""
TRAINING = {"epochs": 2, "shards": 4, "threads": 1, "device": "cpu"}


def of(folder, trainer, **sections):
    """Writes a short configuration of a shipped trainer."""
    content = {
        "trainer": trainer,
        "seed": 5,
        "training": {**TRAINING, **sections.pop("training", {})},
        "output": {"root": str(folder / "runs")},
        "handlers": [{"checkpoint": {"every": "2 iterations"}}, {"image_dump": {"every": "1 epoch", "count": 4}}],
        **sections,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


SHAPES = {"name": "shapes", "image_size": [16, 16], "train_length": 38, "validation_length": 24, "test_length": 8}
TRAINERS = {
    "vae_baseline": {
        "datamodule": {"name": "fashion_mini", **BATCHES},
        "model": {"name": "vae_baseline", "channels": [4, 8], "latent_dim": 4},
        "module": {"name": "variational", "loss": "bce", "warmup_iterations": 3},
    },
    "classifier_baseline": {
        "datamodule": {"name": "fashion_mini", **BATCHES, "limit": 72},
        "model": {"name": "classifier_baseline", "channels": [4, 8], "dropout": 0.2},
        "training": {"precision": "bfloat16"},
    },
    "unet_baseline": {
        "datagenerator": {**SHAPES, "target": "mask", "batch_size": 16, "evaluation_batch_size": 8},
        "model": {"name": "unet_baseline", "channels": [4, 8]},
    },
    "gan_baseline": {
        "datamodule": {"name": "fashion_mini", **BATCHES, "limit": 72, "pixel_range": "[-1,1]"},
        "model": {"name": "gan_baseline", "channels": [4, 8], "latent_dim": 4},
        "module": {"name": "gan"},
        "handlers": [{"checkpoint": {"every": "2 iterations", "keep_best": 0}}, {"ema": {"decay": 0.9}}],
    },
    "restoration_baseline": {
        "datamodule": {"name": "fashion_mini_pairs", "root": "pairs", **BATCHES},
        "model": {"name": "unet_baseline", "channels": [4, 8], "residual": True},
        "training": {"gradient_clip_norm": 0.1},
    },
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A few pairs of images, made as those of the shipped data set."""
    folder = tmp_path_factory.mktemp("made") / "pairs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_pairs, "PER_CLASS", {"train": 8, "test": 2})
        make_pairs.make(folder)
    return folder


@pytest.mark.parametrize("size", [2, 4])
def test_a_run_of_several_processes_equals_that_of_one(alone, tmp_path, size):
    configuration = write_configuration(tmp_path, SMALL)
    assert run_on(size, configuration) == [0] * size, output(configuration)
    run = only_run(tmp_path)
    assert differences(alone, run) == []
    assert scalars(alone) == scalars(run)
    assert json.loads((run / "environment.json").read_text())["processes"] == size
    assert output(configuration).splitlines()[-1] == str(run)
    assert output(configuration).count("run directory:") == 1


@pytest.mark.parametrize("trainer", TRAINERS if SOAK else ["vae_baseline", "classifier_baseline"])
def test_so_does_that_of_every_trainer(tmp_path, trainer, request):
    if trainer == "restoration_baseline":
        TRAINERS[trainer]["datamodule"]["root"] = str(request.getfixturevalue("pairs"))
    declaration = Target.parse(catalogue("trainer")[trainer]).load()
    alone = of(tmp_path / "alone", trainer, **TRAINERS[trainer])
    assert Forked(str(alone), trainer=declaration).wait() == 0, output(alone)
    for size in (2, 4) if SOAK else (2,):
        configuration = of(tmp_path / str(size), trainer, **TRAINERS[trainer])
        assert run_on(size, configuration, trainer=declaration) == [0] * size, output(configuration)
        assert differences(only_run(tmp_path / "alone"), only_run(tmp_path / str(size))) == []


def test_so_does_that_of_several_optimizers_of_which_one_steps_twice(tmp_path):
    alone, two = adversarial(tmp_path / "alone"), adversarial(tmp_path / "two")
    assert run_of(alone) == [0]
    assert run_of(two, 2) == [0, 0]
    assert differences(alone.directory / "run", two.directory / "run") == []


def run_of(configuration, size=1):
    path = Path(configuration.root.mark.source)
    return [Forked(str(path)).wait()] if size == 1 else run_on(size, path)


# Negative controls: the comparison must notice when a mechanism is switched off.


def plain_all_reduce(_):
    Exchanges.add_up = lambda self, flat, incoming: dist.all_reduce(flat)


def seeds_by_rank(rank):
    shard = IterationSeeder.shard
    IterationSeeder.shard = lambda self, iteration, _, updates: shard(self, iteration, rank, updates)


@pytest.mark.parametrize(("size", "sabotage"), [(4, plain_all_reduce), (2, seeds_by_rank)])
def test_the_comparison_notices_when_a_mechanism_is_off(alone, tmp_path, size, sabotage):
    configuration = write_configuration(tmp_path, SMALL)
    assert run_on(size, configuration, prepare=sabotage) == [0] * size, output(configuration)
    found = differences(alone, only_run(tmp_path))
    assert any(name.startswith("checkpoint 8: /model") for name in found), found


def test_other_threads_are_refused_unless_allowed_and_then_the_comparison_notices(alone, tmp_path):
    configuration = write_configuration(tmp_path, SMALL)
    assert Forked(str(configuration), prepare=kill_at(3)).wait() == -signal.SIGKILL
    two = ("--resume", "--set", "training.threads=2")
    assert Forked(str(configuration), *two).wait() == 2
    said = output(configuration)
    assert "threads: the run had 1 threads, now 2, which changes bits; expected the same" in said
    assert "--set training.threads=1, or --allow-change threads" in said
    assert Forked(str(configuration), *two, "--allow-change", "threads").wait() == 0
    assert any(name.startswith("checkpoint 8: /model") for name in differences(alone, only_run(tmp_path)))
