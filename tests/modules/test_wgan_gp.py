"""The penalised critic, against the optima that are known of it."""

import math

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.checks.report import preflight
from firebox.modules.wgan_gp import WGANGP
from firebox.trainers.train_gan_baseline import TRAINER
from tests.handlers.runs import rows_of, trained
from tests.modules.adversaries import configured
from tests.soaking import soak

LAMBDA = 10.0


def linear(folder, module="wgan_gp", lr=0.05, **settings):
    """Returns a run of a linear critic against black images, whole batches of the training images at a time."""
    configuration = configured(
        folder,
        datamodule={"name": "fashion_mini", "batch_size": 5400},
        model={"name": "own.py:Own", "black": True},
        module={"name": module, **settings},
        optimizer={"name": "sgd", "lr": lr},
        training={"epochs": 24, "device": "cpu"},
    )
    preflight(configuration, TRAINER)
    return trained(configuration)


def found(run):
    """Returns the norm of a linear critic's weights, and the objective that it has reached."""
    rows = [row for row in rows_of(run) if row["split"] == "train"]
    (weights,) = (p for name, p in run.model.critic.named_parameters() if name.endswith("weight"))
    return float(weights.detach().norm()), -rows[-1]["critic_loss"]


def expected(run):
    """Returns the same of the optimum: with m the norm of the mean image, 1 + m / 2λ and m + m² / 4λ."""
    images = run.streams["train"].first(run.streams["train"].samples).images.double() / 255
    m = float(images.mean(0).norm())
    return 1 + m / (2 * LAMBDA), m + m**2 / (4 * LAMBDA)


def test_a_linear_critic_reaches_the_optimum_that_is_known(tmp_path):
    run = linear(tmp_path)
    assert found(run) == pytest.approx(expected(run), rel=1e-3)


@pytest.mark.parametrize(
    ("module", "settings"),
    [("wgan_gp", {"gradient_penalty": 11.0}), ("own.py:Squared", {"lr": 0.01})],
    ids=["another weight", "the squared norm"],
)
def test_another_penalty_has_another_optimum(tmp_path, module, settings):
    run = linear(tmp_path, module, **settings)
    weights, objective = found(run)
    reference = expected(run)
    assert abs(weights / reference[0] - 1) > 0.01
    assert abs(objective / reference[1] - 1) > 0.01


def optimum_on_the_line(mean):
    """Returns the estimate of the distance, and the objective, of the best critic of N(mean, 1) against N(0, 1).

    By the calculus of variations: the best slope at y is 1 + d / 2λp, d being the difference of the cumulative
    distributions of drawn and real numbers and p the density of points between these; so the estimate is the integral
    of d + d² / 2λp, and the objective that of d + d² / 4λp.
    """
    y = torch.linspace(-8, 8 + mean, 4001, dtype=torch.float64)
    share = ((torch.arange(400, dtype=torch.float64) + 0.5) / 400).unsqueeze(1)
    deviation = (share.square() + (1 - share).square()).sqrt()
    p = (torch.exp(-(((y - mean * share) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))).mean(0)
    d = torch.special.ndtr(y) - torch.special.ndtr(y - mean)
    return tuple(float(torch.trapezoid(d + d.square() / (k * LAMBDA * p), y)) for k in (2, 4))


def on_the_line(folder, module="wgan_gp"):
    """Returns the estimate and the objective that a trained critic of N(2, 1) against N(0, 1) has on the test split."""
    configuration = configured(
        folder,
        datamodule={"name": "own.py:Normal", "batch_size": 2048, "evaluation_batch_size": 65536},
        model={"name": "own.py:Own", "hidden": 32},
        module={"name": module},
        scheduler={"name": "cosine"},
        training={"epochs": 250, "device": "cpu"},
    )
    metrics = trained(configuration).metrics
    return metrics["test/wasserstein"], -metrics["test/critic_loss"]


def test_a_critic_of_numbers_reaches_the_penalised_optimum_not_the_distance(tmp_path):
    best = optimum_on_the_line(2.0)
    assert best == pytest.approx((2.2103, 2.1052), abs=1e-4)  # beside the distance itself, 2
    assert on_the_line(tmp_path) == pytest.approx(best, rel=0.01)


@soak
def test_a_penalty_at_the_real_images_has_another_optimum(tmp_path):
    estimate, _ = on_the_line(tmp_path, "own.py:AtRealImages")
    assert abs(estimate / optimum_on_the_line(2.0)[0] - 1) > 0.02


class Attending(torch.nn.Module):
    """A critic that attends to the rows of an image."""

    latent_dim = 1

    def __init__(self):
        super().__init__()
        self.generator = torch.nn.Identity()
        self.weights = torch.nn.Parameter(torch.randn(4, 4, dtype=torch.float64))

    def critic(self, images):
        attended = torch.nn.functional.scaled_dot_product_attention(images @ self.weights, images, images)
        return attended.square().flatten(1).sum(1)


def test_the_penalty_of_a_critic_with_attention_has_the_gradient_that_its_differences_say():
    torch.manual_seed(0)
    images, drawn, model = *torch.randn(2, 2, 1, 5, 4, dtype=torch.float64), Attending()
    module = WGANGP(model, ImageSpecification((1, 5, 4)))
    module.score = model.critic

    def penalty():
        torch.manual_seed(1)
        return (module.gradient_norms(images, drawn) - 1).square().mean()

    (gradient,) = torch.autograd.grad(penalty(), model.weights)
    with torch.no_grad():
        model.weights[1, 2] += 1e-6
    above = penalty().detach()
    with torch.no_grad():
        model.weights[1, 2] -= 2e-6
    assert float(above - penalty().detach()) / 2e-6 == pytest.approx(float(gradient[1, 2]), rel=1e-5)
