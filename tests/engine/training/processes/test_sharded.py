"""Batches that are cut into shards, in one process: what is added up, and what costs nothing where there is one."""

import json
import threading
from itertools import pairwise

import pytest
import torch

from firebox.engine.launch.replay import replay
from firebox.engine.training.processes.sharded_update import ShardedUpdate
from firebox.engine.training.steps.iteration import TrainingIteration
from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.training.updates.update import Update
from firebox.foundation.shards import Portion, shard_sizes
from tests.handlers.runs import configured, rows_of, trained

GAN = """
import torch
from firebox import Evaluated, Module
from ignite.metrics import Average

class Pair(torch.nn.Module):
    def __init__(self, input_shape, *, latent_dim: int = 4):
        super().__init__()
        self.generator = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 64))
        self.critic = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2),
                                          torch.nn.Linear(8, 1))

    def forward(self, images):
        return self.critic(images.flatten(1))

class Adversarial(Module):
    def parameters(self):
        return {"critic": list(self.model.critic.parameters()), "generator": list(self.model.generator.parameters())}

    def training_step(self, batch, update):
        real = batch.images.flatten(1)
        fake = self.model.generator(torch.randn(len(real), 4))
        for _ in range(2):
            critic = self.model.critic(fake.detach()).mean() - self.model.critic(real).mean()
            update(critic, "critic")
            with torch.no_grad():
                for parameter in self.model.critic.parameters():
                    parameter.clamp_(-0.05, 0.05)
        generator = -self.model.critic(fake).mean()
        noise = torch.rand(())
        update(generator, "generator")
        return {"loss": critic.detach(), "generator": generator.detach(), "noise": noise, "after": torch.rand(())}

    def evaluation_step(self, batch):
        loss = self.model(batch.images).squeeze(1)
        return Evaluated({"loss": loss}, loss, loss)

    def metrics(self, device):
        return {"loss": Average(lambda evaluated: evaluated.losses["loss"].unsqueeze(1), device=device)}
"""


def adversarial(folder, shards=4):
    """Returns a configuration with two optimizers, one of which steps twice, and batch normalisation."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gan.py").write_text(GAN)
    return configured(
        folder,
        {"loss_log": {}, "checkpoint": {"every": "3 iterations"}, "evaluation": {}},
        model={"name": "gan.py:Pair"},
        module={"name": "gan.py:Adversarial"},
        training={"epochs": 1, "shards": shards, "threads": 1},
    )


def test_shards_are_as_tensor_split_divides():
    for samples in range(4, 40):
        for shards in (1, 2, 4):
            assert shard_sizes(samples, shards) == [len(part) for part in torch.arange(samples).tensor_split(shards)]
            for processes in (1, 2, 4):
                if shards % processes == 0:
                    bounds = [Portion.of(rank, processes, shards).bounds(samples) for rank in range(processes)]
                    assert bounds[0][0] == 0 and bounds[-1][1] == samples
                    assert all(left[1] == right[0] for left, right in pairwise(bounds))


def test_one_shard_is_trained_by_what_has_always_trained_a_batch(tmp_path):
    run = trained(configured(tmp_path, {"loss_log": {}}))
    assert type(run.training) is TrainingIteration
    assert type(run.update) is Update


@pytest.mark.parametrize("batch_size", [10, 12])
def test_the_gradients_of_shards_add_up_to_that_of_the_batch(tmp_path, batch_size):
    """Not to the bit: that is what the tree is for. The last of the batches of 12 has 6 images, in shards of 2 or 1."""
    sections = {"datagenerator": {"batch_size": batch_size}, "optimizer": {"name": "sgd", "lr": 0.1}}
    whole = trained(configured(tmp_path / "whole", {"loss_log": {}}, **sections))
    cut = trained(configured(tmp_path / "cut", {"loss_log": {}}, training={"shards": 4}, **sections))
    assert isinstance(cut.update, ShardedUpdate)
    for one, other in zip(rows_of(whole), rows_of(cut), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert rows_of(whole) != rows_of(cut)


def test_a_run_with_shards_is_replayed_with_equal_losses(tmp_path):
    configuration = configured(
        tmp_path, {"loss_log": {}, "checkpoint": {"every": "4 iterations"}},
        model={"name": "cae_baseline", "channels": [4], "latent_dim": 4, "dropout": 0.5}, training={"shards": 2},
    )  # fmt: skip
    run = trained(configuration)
    replayed = replay(configuration, run.directory, 7)
    assert replayed.equal
    assert len(replayed.batch.images) == 10


def test_numbers_that_are_not_finite_in_one_shard_keep_all_from_stepping(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import torch\nfrom firebox.modules.reconstruction import Reconstruction\n"
        "class Broken(Reconstruction):\n"
        "    def training_step(self, batch, update):\n"
        "        loss = self.loss.mean(self.model(batch.images), batch.images)\n"
        "        if update.iteration == 2 and 3 in batch.indices % 10:\n"
        "            loss = loss * float('nan')\n"
        "        update(loss)\n"
        "        return {'loss': loss.detach()}\n"
    )
    run = trained(configured(tmp_path, {"loss_log": {}}, module={"name": "broken.py:Broken"}, training={"shards": 4}))
    lost = [row["iteration"] for row in rows_of(run) if row["split"] == "train" and row["loss"] is None]
    assert lost == [2]
    assert all(tensor.isfinite().all() for tensor in run.model.state_dict().values())


def test_updates_that_only_some_shards_make_are_refused(tmp_path):
    (tmp_path / "uneven.py").write_text(
        "from firebox.modules.reconstruction import Reconstruction\n"
        "class Uneven(Reconstruction):\n"
        "    def training_step(self, batch, update):\n"
        "        loss = self.loss.mean(self.model(batch.images), batch.images)\n"
        "        update(loss)\n"
        "        if update.iteration == 3 and 3 in batch.indices % 10:\n"
        "            update(self.loss.mean(self.model(batch.images), batch.images))\n"
        "        return {'loss': loss.detach()}\n"
    )
    configuration = configured(tmp_path, {}, module={"name": "uneven.py:Uneven"}, training={"shards": 4})
    with pytest.raises(UnusableModule, match=r"other updates for one shard .* or --set training.shards=1"):
        trained(configuration)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("firebox-shard")]


@pytest.mark.parametrize(
    ("some", "refused"), [("iteration % 2", False), ("iteration == 3 and 3 in batch.indices % 10", True)]
)
def test_a_term_may_belong_to_some_iterations_but_not_to_some_shards(tmp_path, some, refused):
    (tmp_path / "seldom.py").write_text(
        "from firebox.modules.reconstruction import Reconstruction\n"
        "class Seldom(Reconstruction):\n"
        "    def training_step(self, batch, update):\n"
        "        terms = super().training_step(batch, update)\n"
        f"        return {{**terms, 'seldom': terms['loss']}} if update.{some} else terms\n"
    )
    configuration = configured(
        tmp_path, {"loss_log": {}}, module={"name": "seldom.py:Seldom"}, training={"epochs": 1, "shards": 4}
    )
    if refused:
        with pytest.raises(UnusableModule, match="other loss terms for one shard than for another"):
            trained(configuration)
    else:
        rows = [row for row in rows_of(trained(configuration)) if row["split"] == "train"]
        assert [row["iteration"] for row in rows if "seldom" in row] == [1, 3, 5, 7, 9]


def test_several_optimizers_meet_after_each_update(tmp_path):
    run = trained(adversarial(tmp_path))
    row = json.loads((run.directory.losses).read_text().splitlines()[0])
    assert {"loss", "generator", "noise", "after"} <= row.keys()
    largest = max(float(parameter.detach().abs().max()) for parameter in run.model.critic.parameters())
    assert largest <= torch.tensor(0.05).item()
    assert int(run.model.generator[1].num_batches_tracked) == 9
