"""What can't work between a generator and a critic is refused, with its place and a way out."""

import pytest
import yaml

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_gan_baseline import TRAINER
from tests import ways_out

OWN = """
import torch
from torch import nn

class Attention(nn.Module):
    def forward(self, images):
        pixels = images.flatten(2).mT
        return nn.functional.scaled_dot_product_attention(pixels, pixels, pixels).mT.unflatten(2, images.shape[2:])

class Squeeze(nn.Module):
    def forward(self, scores):
        return scores.squeeze(1)

def critic(*layers):
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), *layers)

class Own(nn.Module):
    latent_dim = 2

    def __init__(self, input_shape, *, kind: str, end: str = "Tanh"):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 784), getattr(nn, end)(), nn.Unflatten(1, (1, 28, 28)))
        last = nn.Sequential(nn.Flatten(), nn.Linear(4 * 13 * 13, 1))
        self.critic = {
            "plain": critic(nn.LeakyReLU(0.2), last),
            "regions": critic(nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1)),
            "attention": critic(Attention(), last),
            "layer_norm": critic(nn.GroupNorm(1, 4), last),
            "batch_norm": critic(nn.BatchNorm2d(4), last),
            "sigmoid": critic(nn.LeakyReLU(0.2), last, nn.Sigmoid()),
            "squeezed": critic(nn.LeakyReLU(0.2), last, nn.Sigmoid(), Squeeze()),
        }[kind]

    def forward(self, images):
        return self.critic(images)
"""


def checked(folder, *, kind="plain", module="wgan_gp", handlers=("checkpoint: {keep_best: 0}",), assignments=()):
    (folder / "own.py").write_text(OWN)
    content = {
        "model": {"name": "own.py:Own", "kind": kind},
        "module": {"name": module},
        "datamodule": {"name": "fashion_mini", "batch_size": 300, "pixel_range": "[-1,1]"},
        "training": {"epochs": 1, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [yaml.safe_load(handler) for handler in handlers],
    }
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    return preflight(read(TRAINER.name, TRAINER.default, file, list(assignments)), TRAINER)


@pytest.mark.parametrize(
    ("module", "kind"),
    [("wgan_gp", "plain"), ("wgan_gp", "layer_norm"), ("wgan_gp", "attention"), ("gan", "batch_norm")],
)
def test_what_works_is_accepted(tmp_path, module, kind):
    checked(tmp_path, module=module, kind=kind)


def test_penalised_parts_whose_weights_are_spread_are_refused(tmp_path):
    settings = ["training.parallel=fsdp", "training.channels_last=false"]
    with pytest.raises(Refusal) as caught:
        checked(tmp_path, assignments=settings)
    said = str(caught.value)
    assert "module.name: updates by 2 optimizers" in said
    assert "needs the gradient of a gradient, which training.parallel fsdp can't add up" in said


def test_a_penalised_part_that_is_not_there_is_refused(tmp_path):
    own = "from firebox.modules.wgan_gp import WGANGP\nclass Mine(WGANGP):\n    penalised = ('critik',)\n"
    (tmp_path / "mine.py").write_text(own)
    with pytest.raises(Refusal, match="penalised of the module has 'critik', which is no part of the module or of its"):
        checked(tmp_path, module="mine.py:Mine")


def test_a_critic_that_is_frozen_whole_is_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing to train for the optimizer critic: no parameter of it requires a"):
        checked(tmp_path, assignments=["model.freeze=[critic]"])


def test_a_critic_may_score_regions(tmp_path):
    checked(tmp_path, kind="regions")


RIVAL = "does not fall while the images of the module wgan_gp improve; expected validation/fd_cnn"


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        ({"kind": "sigmoid"}, "model.name",
         "got sigmoid, but the module wgan_gp takes the output for a critic's score, which has no bounds; "
         "expected linear: end the model in its last linear layer"),
        ({"kind": "sigmoid", "module": "gan"}, "model.name", "got sigmoid, but the module gan takes the output"),
        ({"kind": "squeezed"}, "model.name", "got sigmoid, but the module wgan_gp takes the output for a critic's"),
        ({"kind": "batch_norm"}, "model.name",
         "whose critic has batch normalisation (\"critic.1\").*expected torch.nn.GroupNorm(1, channels)"),
        ({"assignments": ["training.compile=true"]}, "training.compile", "expected --set training.compile=false"),
        ({"handlers": ["checkpoint: {}"]}, "handlers.checkpoint.monitor", f"got validation/loss, which {RIVAL}"),
        ({"handlers": ["checkpoint: {monitor: validation/critic_loss}"]}, "handlers.checkpoint.monitor",
         f"got validation/critic_loss, which {RIVAL}.*--set handlers.checkpoint.keep_best=0"),
        ({"handlers": ["checkpoint: {keep_best: 0}", "early_stopping: {}"]}, "handlers.early_stopping.monitor",
         f"got validation/loss, which {RIVAL}"),
        ({"assignments": ['datamodule.pixel_range="[0,1]"']}, "datamodule.pixel_range",
         'got [0,1], but the generator ends in tanh.*expected --set datamodule.pixel_range="[-1,1]"'),
        ({"assignments": ["model.end=Sigmoid"]}, "datamodule.pixel_range",
         'got [-1,1], but the generator ends in sigmoid.*expected --set datamodule.pixel_range="[0,1]"'),
        ({"assignments": ["model.end=Softmax"]}, "datamodule.pixel_range",
         "ends in softmax.*expected another end of the generator"),
    ],
    ids=["sigmoid", "sigmoid of a GAN", "squeezed", "batch norm", "compiled", "best", "critic", "early stopping",
         "range", "other range", "no range"],
)  # fmt: skip
def test_what_can_not_work_is_refused_with_its_place_and_a_way_out(tmp_path, given, key, message):
    with pytest.raises(Refusal) as refusal:
        checked(tmp_path, **given)
    problems = [problem for problem in refusal.value.problems if problem.key == key]
    assert len(problems) == 1 and problems[0].mark is not None
    for part in message.split(".*"):
        assert part in problems[0].message
    for way_out in ways_out.settings(problems[0].message):
        checked(tmp_path, **{**given, "assignments": [*given.get("assignments", ()), way_out]})
