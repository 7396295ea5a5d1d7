"""Denoisers held against mathematics: the best linear map that removes noise, computed from the data in the test."""

import pytest
import torch

from tests.soaking import soak
from tests.test_anchors import ROUNDING, eigenvalues, evaluated_on_training_images, trained, training_pixels

LINEAR = "denoising/linear_denoiser_fashion_mini.yaml"
FAST = ("training.epochs=30", "scheduler.max_lr=0.01")


def optimum(spectrum, rank, sigma):
    """Returns the least squared error per pixel of an affine map of a rank, in expectation over the noise."""
    kept = spectrum[:rank].square() / (spectrum[:rank] + sigma**2)
    return float((spectrum.sum() - kept.sum()) / len(spectrum))


def expected_error(model, pixels, sigma):
    """Returns the squared error per pixel of a linear autoencoder on noisy images, its expectation in closed form."""
    with torch.no_grad():
        model = model.double()
        left = model(pixels.unflatten(1, (1, 28, 28))).flatten(1) - pixels
        gain = model.decoder[0].weight @ model.encoder[1].weight
        return float((left.square().sum(1).mean() + sigma**2 * gain.square().sum()) / pixels.shape[1])


@pytest.mark.parametrize(
    ("rank", "settings"),
    [
        (16, FAST),
        pytest.param(32, ("training.epochs=40", "scheduler.max_lr=0.01"), marks=soak),
        pytest.param(784, ("training.epochs=60", "scheduler.max_lr=0.002"), marks=soak),
    ],
)
def test_a_linear_denoiser_reaches_the_best_linear_map_of_its_rank_and_not_more(rank, settings):
    run = trained("denoising_baseline", LINEAR, f"model.latent_dim={rank}", *settings)
    pixels, sigma = training_pixels(run), run.module.sigma
    spectrum = eigenvalues(pixels)
    best, metrics = optimum(spectrum, rank, sigma), evaluated_on_training_images(run)
    # The noise of an evaluation is drawn; what the map makes of it on average is not.
    error = expected_error(run.model, pixels, sigma)
    assert metrics["loss"] == pytest.approx(error, rel=0.01)
    assert best * (1 - ROUNDING) <= error <= best * 1.02
    # The test can tell: a rank less would be beaten, and so would noise of another scale.
    if rank < 784:
        assert error < optimum(spectrum, rank - 1, sigma)
    for other in (sigma**2, sigma / 1.2, sigma * 1.2):
        wrong = optimum(spectrum, rank, other)
        assert not wrong * (1 - ROUNDING) <= error <= wrong * 1.02


@soak
def test_a_convolutional_denoiser_is_better_than_the_best_affine_map_on_images_that_neither_has_seen():
    settings = ("datamodule.limit=2000", "datamodule.batch_size=32", "training.epochs=4")
    run = trained("denoising_baseline", "denoising/denoising_baseline_fashion_mini.yaml", *settings)
    pixels, sigma = training_pixels(run), run.module.sigma
    covariance, one = torch.cov(pixels.T, correction=0), torch.eye(pixels.shape[1], dtype=torch.float64)
    gain = torch.linalg.solve(covariance + sigma**2 * one, covariance)
    stream = run.streams["test"]
    unseen = run.preparation(stream.first(stream.samples)).images.flatten(1).double()
    left = (unseen - pixels.mean(0)) @ (gain - one)
    affine = float((left.square().sum(1).mean() + sigma**2 * gain.square().sum()) / pixels.shape[1])
    with run.evaluating():
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    assert run.evaluator.state.metrics["loss"] < 0.98 * affine


WRONG = """
import torch
from firebox.modules.denoising import Denoising

class Variance(Denoising):
    '''Takes the standard deviation for the variance.'''

    def corrupt(self, images, sigma=None):
        return images + self.sigma ** 0.5 * torch.randn_like(images)

class NoisyTarget(Denoising):
    '''Compares the output with the noisy images.'''

    def training_step(self, batch, update):
        noisy = self.corrupt(batch.images)
        loss = self.loss.mean(self.model(noisy), noisy)
        update(loss)
        return {"loss": loss.detach()}
"""


@pytest.mark.parametrize("wrong", ["NoisyTarget", pytest.param("Variance", marks=soak)])
def test_a_denoiser_that_is_wrong_does_not_reach_it(tmp_path, wrong):
    (tmp_path / "wrong.py").write_text(WRONG)
    module = f"module={{name: '{tmp_path / 'wrong.py'}:{wrong}', sigma: 0.3}}"
    run = trained("denoising_baseline", LINEAR, module, *FAST)
    pixels = training_pixels(run)
    assert expected_error(run.model, pixels, 0.3) > 1.02 * optimum(eigenvalues(pixels), 16, 0.3)
