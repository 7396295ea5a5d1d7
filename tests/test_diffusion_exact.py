"""Diffusion is held against mathematics: what no network can be better than, and where an exact one must arrive."""

import math
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import torch

from firebox.data.fashion_mini import FashionMini
from firebox.data.streaming.stream import BatchStream
from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.engine.training.run import Run
from firebox.foundation.fixed_draws import normal, spread
from firebox.handlers import DEFAULTS
from firebox.modules.noise_levels import Velocity, alpha_bars
from tests import diffusion_components as own

OWN = Path(own.__file__)
CONFIG = OWN.parent.parent / "configs" / "diffusion" / "flow_matching_fashion_mini.yaml"
TOLERANCE = 0.01
"""Relative; that of the noise drawn for a few thousand images is 0.2 %."""
MOMENTS: dict[torch.Size, tuple[torch.Tensor, ...]] = {}
"""The moments of the training images, of full size and pooled, which many tests have in common."""


def assembled(*assignments: str, module: str = "{name: flow_matching}", model: str = "BestAffine") -> Run:
    """Assembles a run by the ordinary factory, with a model of one's own, and tells it what it has to know."""
    handlers = [f"handlers.{name}=false" for name in (*DEFAULTS, "ema")]
    settings = [f"module={module}", f"model={{name: '{OWN}:{model}'}}", "training.device=cpu", *handlers]
    run = build(read("diffusion_baseline", CONFIG, None, [*settings, *assignments]))
    if hasattr(run.model, "know"):
        pixels = pixels_of(run)
        if pixels.shape not in MOMENTS:
            MOMENTS[pixels.shape] = moments_of(pixels)
        run.model.know(run.module, pixels, *MOMENTS[pixels.shape])
    return run


def pixels_of(run: Run) -> torch.Tensor:
    """Returns the training images, (N, pixels) float64 in the data's pixel range."""
    stream = run.streams["train"]
    return torch.cat([run.preparation(b).images for b in stream.in_order(stream.samples, 1024)]).flatten(1).double()


def moments_of(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Returns the mean of pixels, and the eigenvalues and eigenvectors of their covariance."""
    spectrum, basis = torch.linalg.eigh(torch.cov(pixels.T, correction=0))
    return pixels.mean(0), spectrum.clamp(min=0), basis


def loss_on_training_images(run: Run, images: int | None = None) -> float:
    stream = BatchStream(run.data.read("train"), batch_size=300, seed=0, shuffle=False)
    with run.evaluating():
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream) if images is None else images // 300)
    return float(run.evaluator.state.metrics["loss"])


def bars(schedule: str) -> torch.Tensor:
    return torch.from_numpy(alpha_bars(schedule, 1000))[1:, None]


BEST_AFFINE = {
    "{name: flow_matching}": lambda s: math.pi / 2 * s.sqrt().mean(),
    "{name: ddpm, prediction: epsilon, schedule: linear}": lambda s: (
        bars("linear") * s / (bars("linear") * s + 1 - bars("linear"))
    ).mean(),
    "{name: ddpm, prediction: epsilon, schedule: cosine}": lambda s: (
        bars("cosine") * s / (bars("cosine") * s + 1 - bars("cosine"))
    ).mean(),
    f"{{name: '{OWN}:ContinuousCosine', prediction: epsilon}}": lambda s: (s.sqrt() / (1 + s.sqrt())).mean(),
    f"{{name: '{OWN}:ContinuousCosine', prediction: v}}": lambda s: s.sqrt().mean(),
}


@pytest.mark.parametrize("module", BEST_AFFINE)
def test_the_loss_of_the_best_affine_prediction_is_what_the_eigenvalues_say(module):
    run = assembled(module=module)

    optimum = float(BEST_AFFINE[module](run.model.spectrum))
    assert loss_on_training_images(run) == pytest.approx(optimum, rel=TOLERANCE)


@pytest.mark.parametrize("mistake", ["WrongSign", "WrongScale"])
def test_a_wrong_sign_or_scale_misses_the_best_affine_loss(mistake):
    run = assembled(module=f"{{name: '{OWN}:{mistake}'}}")
    run.model.prediction = Velocity()

    optimum = float(BEST_AFFINE["{name: flow_matching}"](run.model.spectrum))
    assert loss_on_training_images(run) != pytest.approx(optimum, rel=10 * TOLERANCE)


def memorised(pixels: torch.Tensor, images: int, draws: int) -> tuple[float, float]:
    """Returns what flow matching loses on training images that are known by heart, and the estimate's error."""
    losses = []
    generator = torch.Generator().manual_seed(0)
    for draw in range(draws):
        times = ((torch.arange(images) + (draw + 0.5) / draws) / images)[torch.randperm(images, generator=generator)]
        t = times.double().unsqueeze(1)
        image = pixels[:images]
        noise = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        noisy = t * image + (1 - t) * noise
        distances = noisy.square().sum(1, keepdim=True) - 2 * t * noisy @ pixels.T + t**2 * pixels.square().sum(1)
        weights = (-distances / (2 * (1 - t) ** 2)).softmax(1)
        clean = weights @ pixels
        velocity = clean - (noisy - t * clean) / (1 - t)
        losses.append((velocity - (image - noise)).square().mean(1))
    found = torch.cat(losses)
    return float(found.mean()), float(found.std() / math.sqrt(len(found)))


def test_training_images_known_by_heart_lose_what_the_floor_of_memorising_says():
    run = assembled(model="Memory")
    floor, error = memorised(run.model.pixels, 900, draws=2)
    margin = 4 * error

    assert margin < 0.2 * floor
    assert loss_on_training_images(run, 900) == pytest.approx(floor, abs=margin)
    # The test can tell: half of the noise is below the floor, which is what a leak looks like.
    leaking = assembled(model="Memory", module=f"{{name: '{OWN}:WrongScale'}}")
    leaking.model.factors = lambda times: (times.unsqueeze(1), (1 - times.unsqueeze(1)) / 2)
    assert loss_on_training_images(leaking, 900) < floor - margin


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """The setting of a data set of images of 7x7 pixels, the means of 4x4 of Fashion-MNIST's."""
    folder = tmp_path_factory.mktemp("pooled")
    images = FashionMini().read("train").images.float() / 255
    numpy.save(folder / "images.npy", torch.nn.functional.avg_pool2d(images, 4).numpy())
    data = f"{{name: arrays, root: '{folder}', images: images.npy, target: none, validation_fraction: 0.01"
    return f"datamodule={data}, pixel_range: '[-1,1]', batch_size: %d}}"


def test_affine_maps_for_ten_times_reach_their_optimum_and_not_more(pooled):
    run = assembled(
        pooled % 256,
        "training.epochs=60",
        "optimizer={name: adam, lr: 0.1}",
        "scheduler={name: one_cycle, max_lr: 0.1}",
        module=f"{{name: '{OWN}:TenTimes'}}",
        model="AffineByTime",
    )
    run.trainer.run(run.streams["train"])

    pixels = pixels_of(run)
    _, spectrum, _ = moments_of(pixels)
    times = (torch.arange(own.TIMES) + 0.5) / own.TIMES
    optimum = float((spectrum / ((1 - times[:, None]) ** 2 + times[:, None] ** 2 * spectrum)).mean())
    reached = exact_affine_loss(run, pixels, times.double())
    assert optimum * (1 - 1e-6) <= reached <= optimum * 1.02


def exact_affine_loss(run: Run, pixels: torch.Tensor, times: torch.Tensor) -> float:
    """Returns the loss of affine maps with the expectation over noise in closed form."""
    mean, covariance = pixels.mean(0), torch.cov(pixels.T, correction=0)
    one = torch.eye(len(mean), dtype=torch.float64)
    total = 0.0
    for t, weight, bias in zip(times, run.model.weights.detach().double(), run.model.biases.double(), strict=True):
        of_image, of_noise = one - t * weight, one + (1 - t) * weight
        total += float((of_image @ covariance * of_image).sum() + of_noise.square().sum())
        total += float((of_image @ mean - bias.detach()).square().sum())
    return total / len(times) / len(mean)


def flow(spectrum: torch.Tensor, steps: int, *, heun: bool) -> torch.Tensor:
    """Returns the variances along the eigenvectors after Euler's or Heun's steps with the exact velocity."""
    variances = torch.ones_like(spectrum)
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)

    def velocity(t):
        return (t * spectrum - (1 - t)) / ((1 - t) ** 2 + t**2 * spectrum)

    for here, there in pairwise(grid):
        step = there - here
        factor = 1 + step * velocity(here)
        if heun and there < 1:
            factor = 1 + step / 2 * (velocity(here) + velocity(there) * factor)
        variances = variances * factor**2
    return variances


def ddim(spectrum: torch.Tensor, steps: int) -> torch.Tensor:
    """Returns the variances after DDIM's steps over the linear schedule (Pierret and Galerne, ICML 2025)."""
    variances = torch.ones_like(spectrum)
    every = torch.from_numpy(alpha_bars("linear", 1000))
    chosen = [*torch.linspace(1000, 1, steps, dtype=torch.float64).round().long().tolist(), 0]
    for t, s in pairwise(chosen):
        here, there = every[t], every[s]
        kept = ((here * there).sqrt() * spectrum + ((1 - here) * (1 - there)).sqrt()) / (here * spectrum + 1 - here)
        variances = variances * kept**2
    return variances


LINEAR = "{name: ddpm, schedule: linear, prediction: %s}"
CLOSED_FORMS = {
    "ddim": (LINEAR % "epsilon", 20, lambda s: ddim(s, 20)),
    "ddim of v": (LINEAR % "v", 20, lambda s: ddim(s, 20)),
    "euler": ("{name: flow_matching}", 50, lambda s: flow(s, 50, heun=False)),
    "heun": ("{name: flow_matching}", 50, lambda s: flow(s, 50, heun=True)),
}


def sampled_covariance(run: Run, steps: int, sampler: str) -> torch.Tensor:
    """Returns the covariance of the images that a sampler makes of noise from N(0, I), as it is affine in the noise."""
    run.model.double()
    pixels = math.prod(run.data.specification.shape)
    noise = torch.cat([torch.zeros(1, pixels), torch.eye(pixels)]).double().view(-1, *run.data.specification.shape)
    *_, last = run.module.trajectory(noise, None, steps=steps, sampler=sampler)
    images = last.images.flatten(1)
    return (images[1:] - images[0]).T @ (images[1:] - images[0])


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_sampler_with_the_exact_score_of_a_gaussian_ends_at_the_closed_form(pooled, name):
    module, steps, closed_form = CLOSED_FORMS[name]
    run = assembled(pooled % 256, module=module)
    expected = closed_form(run.model.spectrum)

    covariance = sampled_covariance(run, steps, name.split()[0])
    along = (run.model.basis.T @ covariance @ run.model.basis).diagonal()
    torch.testing.assert_close(along, expected, rtol=1e-9, atol=1e-9)
    assert float(covariance.trace()) == pytest.approx(float(expected.sum()), rel=1e-9)
    # The test can tell: one step less ends elsewhere, and so does a velocity of the wrong size.
    assert float(sampled_covariance(run, steps - 1, name.split()[0]).trace()) != pytest.approx(float(expected.sum()))
    run.model.scale.data.fill_(1.001)
    assert float(sampled_covariance(run, steps, name.split()[0]).trace()) != pytest.approx(float(expected.sum()))


def test_euler_and_ddim_are_the_same_in_another_form(pooled):
    run = assembled(pooled % 256, module=LINEAR % "v")

    first, second = (sampled_covariance(run, 10, sampler) for sampler in ("euler", "ddim"))
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


def test_the_times_and_noise_of_evaluations_are_spread_as_drawn_ones_and_depend_on_the_position_alone():
    indices = torch.arange(2000)
    times, noise = spread(indices), normal(indices, (1, 7, 7))

    assert 0 <= float(times.min()) < 0.001 and 0.999 < float(times.max()) < 1
    assert torch.histc(times, 10, 0, 1).tolist() == pytest.approx([200] * 10, abs=2)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01) and float(noise.std()) == pytest.approx(1, abs=0.01)
    assert float(noise.pow(4).mean()) == pytest.approx(3, abs=0.1)
    # Neither neighbouring pixels nor successive samples are correlated.
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.02
    assert abs(float((noise[1:] * noise[:-1]).mean())) < 0.02
    assert torch.equal(normal(indices[700:710], (1, 7, 7)), noise[700:710])
