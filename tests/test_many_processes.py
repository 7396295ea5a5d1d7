"""One run on 1, 2 or 4 processes: everything it leaves is the same, bit for bit."""

import json

import pytest
import yaml

from firebox.engine.components.catalogue import catalogue
from firebox.engine.components.targets import Target
from tests.exactness import Forked, differences, only_run, output, write_configuration
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


FASHION = {"datamodule": {"name": "fashion_mini", **BATCHES}}
SHAPES = {"name": "shapes", "image_size": [16, 16], "train_length": 38, "validation_length": 24, "test_length": 8}
TRAINERS = {
    "vae_baseline": {**FASHION, "model": {"name": "vae_baseline", "channels": [4, 8], "latent_dim": 4}},
    "classifier_baseline": {
        "datamodule": {"name": "fashion_mini", **BATCHES, "limit": 72},
        "model": {"name": "classifier_baseline", "channels": [4, 8], "dropout": 0.2},
        "training": {"precision": "bfloat16"},
    },
    "unet_baseline": {
        "datagenerator": {**SHAPES, "target": "mask", "batch_size": 16, "evaluation_batch_size": 8},
        "model": {"name": "unet_baseline", "channels": [4, 8]},
    },
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process, whose batches are cut into four shards, with everything on."""
    folder = tmp_path_factory.mktemp("alone")
    configuration = write_configuration(folder, SMALL)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    return only_run(folder)


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


@pytest.mark.parametrize("trainer", TRAINERS)
def test_so_does_that_of_every_trainer(tmp_path, trainer):
    declaration = Target.parse(catalogue("trainer")[trainer]).load()
    alone = of(tmp_path / "alone", trainer, **TRAINERS[trainer])
    assert Forked(str(alone), trainer=declaration).wait() == 0, output(alone)
    for size in (2, 4) if SOAK else (4,):
        configuration = of(tmp_path / str(size), trainer, **TRAINERS[trainer])
        assert run_on(size, configuration, trainer=declaration) == [0] * size, output(configuration)
        assert differences(only_run(tmp_path / "alone"), only_run(tmp_path / str(size))) == []
