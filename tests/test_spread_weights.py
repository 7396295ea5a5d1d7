"""Weights that are spread over 2 or 4 processes: the run is that of one, bit for bit, and ends on any number."""

import signal

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Events

from firebox.engine.records import checkpoints
from firebox.engine.training import factory
from firebox.engine.training.processes import spread_parameters
from firebox.engine.world.exchange import Exchanges
from firebox.trainers.train_classifier_baseline import TRAINER as CLASSIFIER
from tests.exactness import Forked, differences, kill_at, only_run, output, with_handler, write_configuration
from tests.soaking import soak
from tests.test_many_processes import of
from tests.test_stopping import signal_at, status
from tests.worlds import SMALL, on_rank, run_on, scalars

SPREAD = {
    "datamodule": {**SMALL["datamodule"], "limit": 700},
    "training": {**SMALL["training"], "parallel": "fsdp", "channels_last": False, "gradient_clip_norm": 0.1},
    "handlers": [
        {"checkpoint": {"every": "2 iterations"}},
        {"evaluation": {"every": "1 epoch", "test": True}},
        {"image_dump": {"every": "1 epoch", "count": 4}},
        {"loss_log": {"every": "5 iterations"}},
    ],
}
"""Three iterations an epoch, the last one of 100 images, in 4 shards."""


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run of one process."""
    configuration = write_configuration(tmp_path_factory.mktemp("one"), SPREAD)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    return only_run(configuration.parent)


def holds_its_part(run):
    """Fails a process that holds more of the weights than its part, or none of the run's."""
    parameters = list(run.model.parameters())
    held = sum(spread_parameters.local(p).numel() for p in parameters)
    states = [value for state in run.update.optimizers["main"].state.values() for value in state.values()]
    kept = sum(spread_parameters.local(value).numel() for value in states if value.dim())
    whole = sum(p.numel() for p in parameters)
    assert 0 < held < whole / run.world.size + 4 * len(parameters)
    assert kept == 2 * held


def test_one_process_finishes_what_two_began(one, tmp_path):
    configuration = write_configuration(tmp_path, SPREAD)
    spread = with_handler(Events.ITERATION_COMPLETED, holds_its_part)
    kill = kill_at(5)

    def prepare(rank):
        spread()
        if rank == 1:
            kill()

    assert run_on(2, configuration, prepare=prepare) == [1, -signal.SIGKILL], output(configuration)
    run = only_run(tmp_path)
    assert status(run)["reason"].startswith("rank 1 (process ")
    assert "ended without a word" in status(run)["reason"]
    state = checkpoints.load(checkpoints.path_of(run / "checkpoints", 4))
    assert {type(value) for value in state["model"].values()} == {torch.Tensor}

    assert Forked(str(configuration), "--resume").wait() == 0, output(configuration)
    assert differences(one, run) == []
    assert scalars(one) == scalars(run)


@soak
@pytest.mark.parametrize("size", [2, 4])
def test_a_run_of_several_processes_equals_that_of_one(one, tmp_path, size):
    configuration = write_configuration(tmp_path, SPREAD)
    assert run_on(size, configuration) == [0] * size, output(configuration)
    assert differences(one, only_run(tmp_path)) == []


@soak
def test_a_chain_of_stops_and_kills_on_2_4_1_and_2_processes_ends_as_the_undisturbed_run(one, tmp_path):
    configuration = write_configuration(tmp_path, SPREAD)
    assert run_on(2, configuration, prepare=on_rank(1, signal_at(1))) == [143, 143], output(configuration)
    run = only_run(tmp_path)
    assert checkpoints.iterations_in(run / "checkpoints") == [1]
    four = run_on(4, configuration, "--resume", prepare=on_rank(2, kill_at(3)))
    assert four == [1, 1, -signal.SIGKILL, 1], output(configuration)
    assert Forked(str(configuration), "--resume", prepare=kill_at(5)).wait() == -signal.SIGKILL
    assert run_on(2, configuration, "--resume") == [0, 0], output(configuration)
    assert differences(one, run) == []


@soak
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batch_normalisation_sgd_and_bfloat16(tmp_path, precision):
    path = tmp_path / "normalised.py"
    path.write_text(
        "from torch import nn\n"
        "class Normalised(nn.Module):\n"
        "    def __init__(self, input_shape, num_classes):\n"
        "        super().__init__()\n"
        "        self.first = nn.Conv2d(1, 5, 3, stride=2)\n"
        "        self.blocks = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 5, 3), nn.ReLU())\n"
        "                                    for _ in range(2))\n"
        "        self.last = nn.Linear(5, num_classes)\n"
        "    def forward(self, images):\n"
        "        images = self.first(images)\n"
        "        for block in self.blocks:\n"
        "            images = block(images)\n"
        "        return self.last(images.mean((2, 3)))\n"
    )
    sections = {
        "datamodule": {"name": "fashion_mini", "batch_size": 32, "limit": 72, "evaluation_batch_size": 16},
        "model": {"name": f"{path}:Normalised"},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "training": {"parallel": "fsdp", "channels_last": False, "precision": precision},
    }
    alone = of(tmp_path / "alone", "classifier_baseline", **sections)
    assert Forked(str(alone), trainer=CLASSIFIER).wait() == 0, output(alone)
    for size in (2, 4):
        several = of(tmp_path / str(size), "classifier_baseline", **sections)
        assert run_on(size, several, trainer=CLASSIFIER) == [0] * size, output(several)
        assert differences(only_run(tmp_path / "alone"), only_run(tmp_path / str(size))) == []


# Negative controls: the comparison must notice when a mechanism is switched off.


def stays_fused(_):
    factory.unfused = lambda optimizer: None


def adds_in_order(_):
    def scatter(self, parts):
        output = parts.new_empty(len(parts) // self._size)
        dist.reduce_scatter_tensor(output, parts)
        return output

    Exchanges.scatter = scatter


@soak
@pytest.mark.parametrize(("size", "sabotage"), [(2, stays_fused), (4, adds_in_order)])
def test_the_comparison_notices_when_a_mechanism_is_off(one, tmp_path, size, sabotage):
    configuration = write_configuration(tmp_path, SPREAD)
    assert run_on(size, configuration, prepare=sabotage) == [0] * size, output(configuration)
    assert any("/model" in name for name in differences(one, only_run(tmp_path)))


@soak
def test_weights_that_are_not_finite_in_one_process_end_all(tmp_path):
    configuration = write_configuration(tmp_path, SPREAD)

    def break_part(run):
        if run.iteration == 2:
            with torch.no_grad():
                spread_parameters.local(next(run.model.parameters())).fill_(torch.inf)

    prepare = on_rank(1, with_handler(Events.ITERATION_COMPLETED, break_part))
    assert run_on(2, configuration, prepare=prepare) == [1, 1], output(configuration)
    run = only_run(tmp_path)
    assert "iteration 3" in status(run)["reason"]
    assert (run / "non_finite.json").exists()
    assert checkpoints.iterations_in(run / "checkpoints") == [2]


@soak
def test_a_step_that_uses_other_layers_for_other_shards_is_ended(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Skipping(nn.Module):\n"
        "    def __init__(self, input_shape, num_classes):\n"
        "        super().__init__()\n"
        "        self.blocks = nn.ModuleList(nn.Linear(784, 784) for _ in range(2))\n"
        "        self.last = nn.Linear(784, num_classes)\n"
        "    def forward(self, images):\n"
        "        images = images.flatten(1)\n"
        "        if type(images) is torch.Tensor:\n"
        "            images = self.blocks[int(torch.rand(()) > 0.5)](images)\n"
        "        return self.last(images)\n"
    )
    sections = {
        "datamodule": {"name": "fashion_mini", "batch_size": 32, "limit": 72},
        "model": {"name": f"{path}:Skipping"},
        "training": {"parallel": "fsdp"},
    }
    several = of(tmp_path, "classifier_baseline", **sections)
    assert run_on(2, several, trainer=CLASSIFIER) == [1, 1], output(several)
    assert "uses other parameters for one shard of a batch than for another" in output(several)
