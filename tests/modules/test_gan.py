"""The non-saturating GAN, against the losses of the discriminator that is known to be best."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from firebox.engine.checks.report import preflight
from firebox.trainers.train_gan_baseline import TRAINER
from tests.handlers.runs import trained
from tests.modules.adversaries import configured


def critic_against_noise(folder, mean, module="gan"):
    """Returns a run in which a linear critic learns to tell N(mean, 1) from N(0, 1), the generator."""
    configuration = configured(
        folder,
        datamodule={"name": "own.py:Normal", "mean": mean, "batch_size": 2048, "evaluation_batch_size": 65536},
        module={"name": module},
        optimizer={"name": "adam", "lr": 0.1},
        scheduler={"name": "cosine"},
        training={"epochs": 200, "device": "cpu"},
    )
    preflight(configuration, TRAINER)
    return trained(configuration)


def best_losses(mean):
    """Returns the losses of critic and generator at the best critic, whose score is the logarithm of the densities'
    ratio, by integration."""
    x = torch.linspace(-10, 10 + mean, 20001, dtype=torch.float64)
    drawn, real = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, mean))
    score = mean * x - mean**2 / 2
    critic = torch.trapezoid(real * softplus(-score) + drawn * softplus(score), x)
    return float(critic), float(torch.trapezoid(drawn * softplus(-score), x))


def losses(run):
    return run.metrics["test/critic_loss"], run.metrics["test/loss"]


def test_the_losses_are_those_of_the_best_discriminator(tmp_path):
    assert best_losses(2.0) == pytest.approx((0.71263, 2.35632), abs=1e-5)
    run = critic_against_noise(tmp_path, 2.0)
    assert losses(run) == pytest.approx(best_losses(2.0), rel=0.01)


def test_at_the_equilibrium_the_losses_are_those_of_a_coin(tmp_path):
    run = critic_against_noise(tmp_path, 0.0)
    assert losses(run) == pytest.approx((2 * math.log(2), math.log(2)), rel=0.01)
    assert run.metrics["test/d_real"] == pytest.approx(0.5, abs=0.01)


def test_a_critic_that_learns_the_wrong_sign_has_other_losses(tmp_path):
    run = critic_against_noise(tmp_path, 2.0, "own.py:WrongSign")
    critic, generator = losses(run)
    assert critic > 2 * math.log(2) and abs(generator / best_losses(2.0)[1] - 1) > 0.1
