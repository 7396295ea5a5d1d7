"""Training is held against mathematics: what a trained model must reach, computed from the data in the test."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from firebox.data.assets.make_pairs import make
from firebox.data.fashion_mini import FashionMini
from firebox.data.streaming.stream import BatchStream
from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.handlers import DEFAULTS
from firebox.modules.losses import BCE
from firebox.modules.variational import reconstruction_loss
from tests.soaking import soak

CONFIGS = Path(__file__).parent.parent / "configs"
ROUNDING = 1e-5


def trained(trainer: str, path: str, *assignments: str) -> Run:
    """Trains a shipped configuration without the handlers that write."""
    handlers = [f"handlers.{name}=false" for name in DEFAULTS]
    run = build(read(trainer, CONFIGS / path, None, ["training.device=cpu", *handlers, *assignments]))
    run.trainer.run(run.streams["train"])
    assert run.iteration == run.total_iterations
    return run


def evaluated_on_training_images(run: Run) -> dict[str, float]:
    """Returns the run's metrics over its training split, each image once, without augmentation."""
    stream = BatchStream(run.data.read("train"), batch_size=512, seed=0, shuffle=False)
    with run.evaluating():
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    return {name: float(value) for name, value in run.evaluator.state.metrics.items()}


def training_pixels(run: Run) -> torch.Tensor:
    """Returns the training split, (N, pixels) float64 in [0, 1]."""
    return run.data.read("train").images.flatten(1).double() / 255


def eigenvalues(pixels: torch.Tensor) -> torch.Tensor:
    """Returns the eigenvalues of the pixels' covariance, largest first."""
    return torch.linalg.eigvalsh(torch.cov(pixels.T, correction=0)).flip(0)


def entropy(pixels: torch.Tensor) -> torch.Tensor:
    """Returns the entropy in nats of pixels as probabilities: the least binary cross entropy against them."""
    return torch.special.entr(pixels) + torch.special.entr(1 - pixels)


@dataclass(frozen=True)
class Optimum:
    """Of a linear variational autoencoder: probabilistic PCA (Tipping and Bishop, 1999; Lucas et al., 2019)."""

    active: int
    reconstruction: float
    kl: float
    loss: float


def probabilistic_pca(spectrum: torch.Tensor, latent_dim: int, *, variance: float, beta: float) -> Optimum:
    noise = variance * beta
    active = min(latent_dim, int((spectrum > noise).sum()))
    kl = 0.5 * float((spectrum[:active] / noise).log().sum())
    reconstruction = 0.5 * (noise * active + float(spectrum[active:].sum())) / variance
    return Optimum(active, reconstruction, kl, reconstruction + beta * kl)


def test_linear_autoencoder_reaches_pca_and_not_more():
    run = trained("cae_baseline", "cae/linear_autoencoder_fashion_mini.yaml")

    spectrum = eigenvalues(training_pixels(run))
    latent_dim = run.model.latent_dim
    smaller, optimum, larger = (
        float(spectrum[k:].sum()) / len(spectrum) for k in (latent_dim - 1, latent_dim, latent_dim + 1)
    )
    loss = evaluated_on_training_images(run)["loss"]
    assert optimum * (1 - ROUNDING) <= loss <= optimum * 1.02
    # The test can tell: one component fewer would be beaten, one more would not be reached.
    assert larger < loss < smaller


@pytest.mark.parametrize(
    ("variance", "beta", "active"),
    [pytest.param(1.0, 1.0, 8, marks=soak), (0.5, 10.0, 2)],
    ids=["unit variance", "smaller variance and larger beta"],
)
def test_linear_vae_reaches_probabilistic_pca_with_the_predicted_active_units(variance, beta, active):
    settings = [f"module.observation_variance={variance}", f"module.beta={beta}"]
    run = trained("vae_baseline", "vae/linear_vae_fashion_mini.yaml", *settings)

    pixels = training_pixels(run)
    optimum = probabilistic_pca(eigenvalues(pixels), run.model.latent_dim, variance=variance, beta=beta)
    metrics = evaluated_on_training_images(run)
    assert optimum.active == active < run.model.latent_dim
    assert metrics["active_units"] == optimum.active
    assert metrics["loss"] == pytest.approx(optimum.loss, rel=0.02)
    assert metrics["reconstruction"] == pytest.approx(optimum.reconstruction, rel=0.02)
    assert metrics["kl"] == pytest.approx(optimum.kl, rel=0.02)
    assert optimum.loss * (1 - ROUNDING) <= exact_loss(run, pixels, variance=variance, beta=beta) <= optimum.loss * 1.02


def exact_loss(run: Run, pixels: torch.Tensor, *, variance: float, beta: float) -> float:
    """Returns the loss of a linear variational autoencoder with the expectation over latents in closed form."""
    with torch.no_grad():
        model = run.model.double()
        mean, log_variance = model.encode(pixels)
        errors = (model.decode(mean).flatten(1) - pixels).square().sum(1)
        weight = model.decoder[0].weight
        errors = errors + (log_variance.exp() * weight.square().sum(0)).sum(1)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return float((errors / (2 * variance) + beta * kl).mean())


def test_bce_never_falls_below_the_entropy_of_the_targets():
    bce = ("module.loss=bce", "model.output_activation=linear", "model.channels=[8, 16]", "training.epochs=1")
    run = trained("cae_baseline", "cae/cae_baseline_fashion_mini.yaml", *bce)
    rows: list[Row] = []
    run.losses.subscribe(rows.extend)
    run.losses.settle()

    pixels = training_pixels(run)
    floor = float(entropy(pixels).mean())
    assert floor < evaluated_on_training_images(run)["loss"] < math.log(2)
    stream = run.streams["train"]
    for row in rows:
        assert row.losses["loss"] > float(entropy(pixels[stream.indices(row.iteration - 1)]).mean())


def test_bce_of_a_perfect_reconstruction_is_the_entropy_of_the_targets():
    images = FashionMini().read("train").images[:256].float() / 255
    perfect = torch.logit(images, eps=1e-7)

    floor = float(entropy(images.double()).sum((1, 2, 3)).mean())
    assert float(reconstruction_loss(perfect, images, BCE()).mean()) == pytest.approx(floor, rel=1e-4)
    assert float(reconstruction_loss(perfect + 0.1, images, BCE()).mean()) > floor
    assert float(reconstruction_loss(perfect - 0.1, images, BCE()).mean()) > floor


def metrics_of_test(run: Run) -> dict[str, float]:
    """Returns the run's metrics over its test split that are single numbers."""
    stream = run.streams["test"]
    with run.evaluating():
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    found = run.evaluator.state.metrics
    return {name: float(value) for name, value in found.items() if not torch.is_tensor(value) or value.numel() == 1}


@soak
def test_segmentation_of_shapes_reaches_what_the_results_say():
    metrics = metrics_of_test(trained("unet_baseline", "unet/unet_baseline_shapes.yaml"))
    assert metrics["mean_iou"] == pytest.approx(0.993, abs=0.003)


@soak
def test_restoration_betters_its_input_by_what_the_results_say(tmp_path):
    make(tmp_path / "pairs")
    place = f"datamodule.root={tmp_path / 'pairs'}"
    metrics = metrics_of_test(
        trained("restoration_baseline", "restoration/restoration_baseline_fashion_mini.yaml", place)
    )
    assert metrics["psnr"] - metrics["psnr_of_input"] == pytest.approx(6.17, abs=0.3)
