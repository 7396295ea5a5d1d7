"""What the tests of adversarial modules share: critics and generators of which everything is known."""

import json

import yaml

from firebox.engine.components.catalogue import default_handlers
from firebox.engine.configuration import read
from firebox.trainers.train_gan_baseline import TRAINER

OWN = """
import math
import torch
from torch import nn
from firebox import DataModule, DatasetImages, ImageSpecification
from firebox.modules.gan import GAN
from firebox.modules.wgan_gp import WGANGP

SIDE = 12.0  # numbers from -4 to 8 are pixels from 0 to 1


class Normal(DataModule):
    '''Numbers whose distribution is N(mean, 1), evenly over its quantiles.'''

    reads = "fixed"

    def __init__(self, *, mean: float = 2.0, length: int = 2048):
        self.mean, self.length = mean, length

    @property
    def specification(self):
        return ImageSpecification((1, 1, 1), "standardised", mean=(4 / SIDE,), std=(1 / SIDE,))

    @property
    def split_lengths(self):
        return {"train": self.length, "test": 65536}

    def read(self, split):
        count = self.split_lengths[split]
        shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        numbers = self.mean + math.sqrt(2) * torch.erfinv(2 * shares - 1)
        pixels = ((numbers + 4) / SIDE).float().view(-1, 1, 1, 1)
        return DatasetImages([(pixel, 0) for pixel in pixels], fixed=True)


class Fixed(nn.Module):
    '''A generator whose one parameter changes nothing.'''

    def __init__(self, shape, black):
        super().__init__()
        self.shape, self.black = shape, black
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, latents):
        images = torch.zeros(len(latents), *self.shape) if self.black else latents.view(-1, *self.shape)
        return images + 0 * self.unused


class Own(nn.Module):
    '''A critic against a generator that stays as it is: black images, or N(0, 1).'''

    def __init__(self, input_shape, *, black: bool = False, hidden: int = 0):
        super().__init__()
        inputs = math.prod(input_shape)
        self.latent_dim = 1 if not black else 2
        self.generator = Fixed(input_shape, black)
        last = nn.Linear(hidden or inputs, 1)
        nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
        layers = [nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()] if hidden else []
        self.critic = nn.Sequential(nn.Flatten(), *layers, last, nn.Flatten(0))
        if black:
            nn.init.normal_(last.weight, std=0.01)  # a gradient of length 0 has no direction

    def forward(self, images):
        return self.critic(images)


class WrongSign(GAN):
    '''Takes real images for drawn ones, and these for real ones, as it trains.'''

    def score(self, images):
        return -super().score(images) if torch.is_grad_enabled() else super().score(images)


class Squared(WGANGP):
    '''Penalises the deviation of the squared norm.'''

    def gradient_norms(self, images, drawn):
        return super().gradient_norms(images, drawn).square()


class AtRealImages(WGANGP):
    '''Penalises the gradient at the real images, not between these and the drawn ones.'''

    def gradient_norms(self, images, drawn):
        return super().gradient_norms(images, images)
"""


def configured(folder, **sections):
    """Returns the configuration of a run of ``Own``, with no handlers but an evaluation and the losses' log."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(OWN)
    content = {
        "datamodule": {"name": "own.py:Normal", "batch_size": 2048},
        "model": {"name": "own.py:Own"},
        "module": {"name": "wgan_gp"},
        "optimizer": {"name": "adam", "lr": 0.01, "betas": [0.5, 0.9]},
        "training": {"epochs": 100, "device": "cpu"},
        "output": {"root": str(folder / "runs"), "version": "run"},
        **json.loads(json.dumps(sections)),
    }
    content["handlers"] = [{name: False} for name in default_handlers() if name not in ("evaluation", "loss_log")]
    path = folder / "configuration.yaml"
    path.write_text(yaml.safe_dump(content))
    return read(TRAINER.name, TRAINER.default, path)
