"""The denoising module: the noise, its range, what it shows and measures."""

import pytest
import torch
from torch import nn

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.models.denoising_baseline import DenoisingBaseline
from firebox.models.linear_autoencoder import LinearAutoencoder
from firebox.modules.denoising import Denoising

SHAPE = (1, 12, 12)


def module(pixel_range="[0,1]", model=None, **settings):
    constants = {"mean": (0.5,), "std": (0.25,)} if pixel_range == "standardised" else {}
    return Denoising(model or nn.Identity(), ImageSpecification(SHAPE, pixel_range, **constants), **settings)


def test_the_noise_has_the_standard_deviation_in_the_datas_range_and_is_not_cut():
    torch.manual_seed(0)
    images = torch.full((64, *SHAPE), 0.9)
    for sigma in (0.3, 0.05):
        noise = module(sigma=sigma).corrupt(images) - images
        assert float(noise.std()) == pytest.approx(sigma, rel=0.03)
        assert float(noise.mean()) == pytest.approx(0, abs=sigma * 0.03)
    assert float(module(sigma=0.3).corrupt(images, 0.1).std()) == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize(
    ("pixel_range", "lowest", "highest"), [("[0,1]", 0, 1), ("[-1,1]", -1, 1), ("standardised", -2, 2)]
)
def test_noise_that_is_cut_stays_in_the_range_of_the_pixels(pixel_range, lowest, highest):
    torch.manual_seed(0)
    images = torch.full((8, *SHAPE), float(highest))
    noisy = module(pixel_range, sigma=0.5, clip=True).corrupt(images)
    assert lowest <= float(noisy.min()) < float(noisy.max()) == pytest.approx(highest)
    assert float(module(pixel_range, sigma=0.5).corrupt(images).max()) > highest


def test_the_target_is_clean():
    """An output of 0 has the loss of the clean images, whatever the noise."""

    class Nothing(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, images):
            return self.weight * images

    model = Nothing()
    denoising = module(model=model, sigma=0.5)
    batch = Batch(torch.rand(4, *SHAPE), None, torch.arange(4))
    update = Update({"main": torch.optim.SGD(model.parameters(), lr=0.0)}, device=torch.device("cpu"))
    clean = float(batch.images.square().mean())
    assert float(denoising.training_step(batch, update)["loss"]) == pytest.approx(clean)
    assert float(denoising.evaluation_step(batch).losses["loss"].detach().mean()) == pytest.approx(clean)


def test_images_are_clean_then_noisy_then_restored():
    batch = Batch(torch.rand(3, *SHAPE), None, torch.arange(3))
    clean, noisy, restored = module(sigma=0.2).images(batch)["denoising"]
    assert torch.equal(clean, batch.images) and torch.equal(noisy, restored) and not torch.equal(clean, noisy)


@pytest.mark.parametrize(
    ("pixel_range", "sigma", "message"),
    [
        ("[0,1]", 25.0, "sigma: got 25, but the pixels reach from 0 to 1, .* at most 1; .* module.sigma=0.098"),
        ("[-1,1]", 25.0, "from -1 to 1, .* expected at most 2; for 25 of 255, --set module.sigma=0.196"),
        ("standardised", 25.0, "from -2 to 2, .* expected at most 4; for 25 of 255, --set module.sigma=0.392"),
        ("[0,1]", 300.0, "expected at most 1$"),
    ],
)
def test_noise_in_another_unit_than_the_pixels_is_refused(pixel_range, sigma, message):
    with pytest.raises(ValueError, match=message):
        module(pixel_range, sigma=sigma)
    module(pixel_range, sigma=1.0)


def test_cut_noise_is_refused_for_the_model_whose_optimum_is_known_without():
    linear = LinearAutoencoder(SHAPE, latent_dim=2)
    with pytest.raises(ValueError, match=r"clip: got true, .* expected --set module.clip=false"):
        module(model=linear, clip=True)
    module(model=linear)
    module(model=DenoisingBaseline(SHAPE, channels=(4,)), clip=True)
