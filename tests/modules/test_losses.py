"""Pixel losses: torch's own bits, what they say of themselves, and one of the user's own through a whole run."""

import pytest
import torch
import yaml
from torch.nn import functional

from firebox import PixelLoss
from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.archives.loading import signature
from firebox.engine.components.catalogue import catalogue, find
from firebox.engine.components.part import built, part_of
from firebox.engine.training.factory import build
from firebox.models.linear_autoencoder import LinearAutoencoder
from firebox.models.linear_vae import LinearVAE
from firebox.modules import LOSSES
from firebox.modules.losses import BCE, L1, MSE, Gaussian
from firebox.modules.reconstruction import Reconstruction
from firebox.modules.variational import Variational
from tests.handlers.runs import configured, rows_of, stopped, trained

SHAPE = (3, 8, 10)
SPECIFICATION = ImageSpecification(SHAPE)
TORCH = {
    MSE: functional.mse_loss,
    L1: functional.l1_loss,
    BCE: functional.binary_cross_entropy_with_logits,
}
OWN = """
from firebox import PixelLoss
class Charbonnier(PixelLoss):
    def __init__(self, *, epsilon: float = 0.001):
        self.epsilon = epsilon
    def per_pixel(self, output, images):
        return ((output - images).square() + self.epsilon**2).sqrt()
"""


class Charbonnier(PixelLoss):
    def per_pixel(self, output, images):
        return ((output - images).square() + 1e-6).sqrt()


def pair():
    torch.manual_seed(1)
    return torch.randn(5, *SHAPE, requires_grad=True), torch.rand(5, *SHAPE)


@pytest.mark.parametrize("kind", TORCH, ids=lambda kind: kind.__name__)
def test_the_mean_and_its_gradient_are_torchs_own_to_the_bit(kind):
    output, images = pair()
    mean, expected = kind().mean(output, images), TORCH[kind](output, images)
    assert torch.equal(mean, expected)
    assert torch.equal(torch.autograd.grad(mean, output)[0], torch.autograd.grad(expected, output)[0])


@pytest.mark.parametrize("kind", TORCH, ids=lambda kind: kind.__name__)
def test_the_loss_of_a_pixel_is_torchs_and_an_image_is_their_sum(kind):
    output, images = pair()
    per_pixel = kind().per_pixel(output, images)
    assert torch.equal(per_pixel, TORCH[kind](output, images, reduction="none"))
    torch.testing.assert_close(kind().per_image(output, images), per_pixel.flatten(1).sum(1))


def test_an_own_loss_needs_the_loss_of_a_pixel_alone():
    output, images = pair()
    loss = Charbonnier()
    assert torch.equal(loss.mean(output, images), loss.per_pixel(output, images).mean())
    assert loss.per_image(output, images).shape == (5,)
    assert loss.pixels(output) is output
    assert loss.name == "Charbonnier"


@pytest.mark.parametrize("variance", [1.0, 0.3, 0.07, 11.0])
def test_gaussian_over_a_variance_has_the_bits_of_squared_errors_over_twice_the_variance(variance):
    output, images = pair()
    losses = Gaussian().per_image(output, images) / variance
    expected = functional.mse_loss(output, images, reduction="none").sum((1, 2, 3)) / (2 * variance)
    assert torch.equal(losses, expected)
    gradients = [torch.autograd.grad(loss.sum(), output)[0] for loss in (losses, expected)]
    assert torch.equal(*gradients)
    torch.testing.assert_close(
        Gaussian().per_pixel(output, images).sum((1, 2, 3)), Gaussian().per_image(output, images)
    )


def test_logits_become_probabilities_and_pixels_stay():
    output, _ = pair()
    assert torch.equal(BCE().pixels(output), output.sigmoid())
    assert all(kind().pixels(output) is output for kind in (MSE, L1, Gaussian))


def test_every_loss_of_the_catalogue_knows_its_short_name():
    for name in LOSSES:
        loss = built("loss", name)
        assert isinstance(loss, PixelLoss)
        assert loss.name == name
    assert catalogue("loss") is LOSSES


def test_the_losses_that_variational_accepts_are_likelihoods():
    declared = find("module", "variational").signature.parameters.model_fields["loss"]
    accepted = [built("loss", name) for name in part_of(declared).accepted()]
    assert all(loss.is_likelihood for loss in accepted)
    assert [loss.name for loss in accepted if loss.has_variance] == ["gaussian"]


def test_a_module_takes_a_loss_or_its_name():
    model = LinearAutoencoder(SHAPE, latent_dim=2)
    assert type(Reconstruction(model, SPECIFICATION, loss="bce").loss) is BCE
    assert Reconstruction(model, SPECIFICATION, loss="bce").output_kind == "pixel_logits"
    own = Charbonnier()
    assert Reconstruction(model, SPECIFICATION, loss=own).loss is own
    assert Reconstruction(model, SPECIFICATION, loss=own).output_kind == "pixels"
    with pytest.raises(ValueError, match="loss: got MSELoss, expected a PixelLoss: from firebox import PixelLoss"):
        Reconstruction(model, SPECIFICATION, loss=torch.nn.MSELoss())
    with pytest.raises(ValueError, match='unknown loss "mes"; did you mean mse'):
        Reconstruction(model, SPECIFICATION, loss="mes")


@pytest.mark.parametrize(("loss", "name"), [("mse", "mse"), (Charbonnier(), "Charbonnier")])
def test_variational_refuses_a_loss_that_is_no_likelihood(loss, name):
    model = LinearVAE(SHAPE, latent_dim=2)
    with pytest.raises(ValueError, match=f"loss: got {name}, which is no log-likelihood; expected bce, gaussian, or"):
        Variational(model, SPECIFICATION, loss=loss)
    likely = type("Likely", (Charbonnier,), {"is_likelihood": True})()
    module = Variational(model, SPECIFICATION, loss=likely, beta=2.0)
    assert module.summary()["effective beta"] == "2 beside the Likely of an image"
    with pytest.raises(ValueError, match="observation_variance: has a meaning for loss gaussian only; leave it out"):
        Variational(model, SPECIFICATION, loss=likely, observation_variance=0.5)


def own(folder, epsilon):
    folder.mkdir(exist_ok=True)
    (folder / "my_losses.py").write_text(OWN)
    loss = {"name": "my_losses.py:Charbonnier", "epsilon": epsilon}
    return configured(folder, {"checkpoint": {}, "evaluation": {}, "loss_log": {}}, module={"loss": loss})


def test_a_run_with_an_own_loss_is_resumed_to_the_bit(tmp_path):
    whole = trained(own(tmp_path / "whole", 0.1))
    assert stopped(own(tmp_path / "again", 0.1), 13).iteration == 13
    resumed = trained(own(tmp_path / "again", 0.1))
    assert rows_of(resumed) == rows_of(whole)
    assert all(map(torch.equal, resumed.model.parameters(), whole.model.parameters()))
    # The control: its setting reaches the loss, so another value gives another run.
    other = trained(own(tmp_path / "other", 0.2))
    assert rows_of(other) != rows_of(whole)


def test_a_run_records_its_own_loss_with_its_settings(tmp_path):
    run = trained(own(tmp_path, 0.1))
    recorded = yaml.safe_load(run.directory.configuration.read_text())["module"]["loss"]
    file, _, kind = recorded["name"].rpartition(":")
    assert (run.directory.path / file).resolve() == (tmp_path / "my_losses.py").resolve()
    assert (kind, recorded["epsilon"]) == ("Charbonnier", 0.1)


@pytest.mark.parametrize(
    ("sections", "loss"),
    [({}, "mse"), ({"module": {"loss": "bce"}}, "bce"), ({"module": {"loss": {"name": "l1"}}}, "l1")],
)
def test_an_archive_names_the_loss_as_a_configuration_does(tmp_path, sections, loss):
    run = build(configured(tmp_path, {}, **sections))
    assert signature(run)["output"]["loss"] == loss
    assert signature(build(own(tmp_path, 0.1)))["output"]["loss"] == "Charbonnier"
