"""The variational module: terms against formulas, sums per sample, warm-up, metrics, what it shows."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.models.linear_vae import LinearVAE
from firebox.models.vae_baseline import VAEBaseline
from firebox.modules.losses import BCE, Gaussian
from firebox.modules.metrics import ActiveUnits
from firebox.modules.variational import Variational, kl_to_standard_normal, reconstruction_loss

SHAPE = (3, 8, 10)
PIXELS = math.prod(SHAPE)
SPECIFICATION = ImageSpecification(SHAPE)
CPU = torch.device("cpu")


def batch_of(images: torch.Tensor) -> Batch:
    return Batch(images, None, torch.arange(len(images)))


def variational(model=None, specification=SPECIFICATION, **settings) -> Variational:
    torch.manual_seed(0)
    return Variational(model or VAEBaseline(SHAPE, channels=(4, 6), latent_dim=5), specification, **settings)


def stepping(module: Variational, iteration: int = 1, lr: float = 0.01) -> Update:
    update = Update({"main": torch.optim.Adam(module.parameters()["main"], lr=lr, fused=True)}, device=CPU)
    update.iteration = iteration
    return update


def test_bce_is_the_sum_over_pixels_and_channels_for_each_image():
    images, probabilities = torch.rand(4, *SHAPE).double(), torch.rand(4, *SHAPE).double()
    by_hand = -(images * probabilities.log() + (1 - images) * (1 - probabilities).log()).flatten(1).sum(1)

    loss = reconstruction_loss(torch.logit(probabilities), images, BCE())
    torch.testing.assert_close(loss.double(), by_hand, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_gaussian_is_the_negative_log_likelihood_but_for_its_constant(variance):
    images, means = torch.rand(4, *SHAPE), torch.rand(4, *SHAPE)
    likelihood = Independent(Normal(means, math.sqrt(variance)), 3).log_prob(images)
    constant = PIXELS * math.log(2 * math.pi * variance) / 2

    torch.testing.assert_close(reconstruction_loss(means, images, Gaussian(), variance), -likelihood - constant)


def test_kl_is_torchs_summed_over_the_latent_entries():
    mean, log_variance = torch.randn(4, 6), torch.randn(4, 6)
    posterior = Independent(Normal(mean, torch.exp(log_variance / 2)), 1)
    prior = Independent(Normal(torch.zeros(4, 6), 1.0), 1)

    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), kl_divergence(posterior, prior))
    assert torch.equal(kl_to_standard_normal(torch.zeros(2, 6), torch.zeros(2, 6)), torch.zeros(2))


@pytest.mark.parametrize("settings", [{"loss": "bce"}, {"loss": "gaussian", "observation_variance": 0.5}])
def test_training_reports_each_term_as_a_sum_per_sample_averaged_over_the_batch(settings):
    module = variational(beta=3.0, **settings)
    images = torch.rand(6, *SHAPE)
    model = module.autoencoder
    torch.manual_seed(5)
    mean, log_variance = model.encode(images)
    output = model.decode(model.reparameterise(mean, log_variance))
    reconstruction = (
        reconstruction_loss(output, images, module.loss, settings.get("observation_variance", 1.0)).sum() / 6
    )
    kl = kl_to_standard_normal(mean, log_variance).sum() / 6

    torch.manual_seed(5)
    losses = module.training_step(batch_of(images), stepping(module))
    assert list(losses) == ["loss", "reconstruction", "kl", "beta"]
    assert all(loss.shape == () and not loss.requires_grad for loss in losses.values())
    torch.testing.assert_close(losses["reconstruction"], reconstruction.detach())
    torch.testing.assert_close(losses["kl"], kl.detach())
    torch.testing.assert_close(losses["loss"], (reconstruction + 3 * kl).detach())
    assert losses["beta"] == 3.0


def test_the_kl_acts_with_its_weight_on_the_parameters():
    def log_variance_after_a_step(beta: float) -> torch.Tensor:
        module = variational(LinearVAE(SHAPE, latent_dim=3), loss="gaussian", beta=beta)
        module.model.log_variance.data.fill_(2.0)
        module.training_step(batch_of(torch.rand(4, *SHAPE)), stepping(module))
        return module.model.log_variance.detach()

    # With a wide posterior both terms pull the log-variance down; a vast weight makes the KL's pull decide alone.
    assert (log_variance_after_a_step(1e6) < 2.0).all()
    module = variational(LinearVAE(SHAPE, latent_dim=3), beta=0.0)
    module.model.decoder[0].weight.data.zero_()
    module.training_step(batch_of(torch.rand(4, *SHAPE)), stepping(module))
    assert torch.equal(module.model.log_variance.detach(), torch.zeros(3))


def test_warm_up_rises_linearly_and_ends_at_its_last_iteration():
    module = variational(beta=4.0, warmup_iterations=8)
    values = [module.beta_at(iteration) for iteration in (1, 2, 4, 8, 9, 1000)]

    assert values == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert variational(beta=4.0).beta_at(1) == 4.0
    losses = module.training_step(batch_of(torch.rand(2, *SHAPE)), stepping(module, iteration=2))
    assert losses["beta"] == 1.0
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + losses["kl"])


@torch.inference_mode()
def test_evaluation_weighs_the_kl_with_the_final_beta():
    module = variational(beta=4.0, warmup_iterations=1000)
    evaluated = module.evaluation_step(batch_of(torch.rand(5, *SHAPE)))

    assert all(loss.shape == (5,) for loss in evaluated.losses.values())
    terms = evaluated.losses
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 4 * terms["kl"])


@torch.inference_mode()
def test_evaluation_is_a_function_of_the_seed_and_its_pictures_of_nothing_random():
    module, batch = variational(), batch_of(torch.rand(5, *SHAPE))

    def evaluate(seed: int):
        torch.manual_seed(seed)
        return module.evaluation_step(batch)

    first, again, other = evaluate(1), evaluate(1), evaluate(2)
    assert torch.equal(first.losses["reconstruction"], again.losses["reconstruction"])
    assert not torch.equal(first.losses["reconstruction"], other.losses["reconstruction"])
    assert torch.equal(first.prediction, other.prediction)


def test_active_units_are_those_whose_posterior_mean_varies_over_all_batches():
    torch.manual_seed(3)
    # A large offset would spoil the sums in float32; the last entry differs only from one batch to the next.
    means = torch.randn(300, 5) * torch.tensor([1.0, 0.11, 0.09, 0.0, 0.0]) + torch.tensor([0.0, 50.0, 50.0, 9.0, 0.0])
    means[150:, 4] = 1.0
    metric = ActiveUnits(device=CPU)
    for part in means.split(150):
        metric.update(part)

    assert metric.compute() == int((means.double().var(0, correction=0) > 0.01).sum()) == 3
    metric.reset()
    metric.update(means[:150])
    assert metric.compute() == 2


def test_metrics_have_their_names():
    names = ["loss", "reconstruction", "kl", "active_units", "psnr", "ssim"]

    assert list(variational().metrics(CPU)) == names


@torch.inference_mode()
@pytest.mark.parametrize(("loss", "pixel_range"), [("bce", "[0,1]"), ("gaussian", "[0,1]"), ("gaussian", "[-1,1]")])
def test_it_shows_reconstructions_beside_the_input_and_samples_from_the_prior(loss, pixel_range):
    specification = ImageSpecification(SHAPE, pixel_range)
    module = variational(specification=specification, loss=loss)
    unit = torch.rand(3, *SHAPE)
    torch.manual_seed(7)
    shown = module.images(batch_of(specification.from_unit(unit)))
    torch.manual_seed(7)
    again = module.images(batch_of(specification.from_unit(unit)))

    assert [len(columns) for columns in shown.values()] == [2, 1]
    torch.testing.assert_close(shown["reconstruction"][0], unit)
    for pictures in (*shown["reconstruction"], *shown["prior"]):
        assert pictures.shape == unit.shape
        assert 0 <= pictures.min() <= pictures.max() <= 1
    assert torch.equal(shown["prior"][0], again["prior"][0])
    assert not torch.equal(shown["prior"][0], module.images(batch_of(unit))["prior"][0])


def test_summary_states_the_effective_beta():
    # Mean squared error + the KL with weight 1 is beta 120 here: an image has 240 pixels.
    summary = variational(loss="gaussian", beta=PIXELS / 2).summary()
    assert summary["effective beta"] == "120 beside half the squared error of an image"
    per_pixel = "KL weight beside the mean squared error per pixel"
    assert summary[per_pixel] == "1 for the KL summed over 5 latent entries, 5 for their mean"

    summary = variational(beta=2.0, warmup_iterations=9).summary()
    assert summary["KL weight beside the mean bce per pixel"].startswith("0.008333 for the KL summed")
    assert summary["effective beta"] == "2 beside the bce of an image"
    assert summary["beta warm-up"] == "linear over 9 iterations; evaluations use 2"


def test_an_observation_variance_without_a_gaussian_is_refused():
    with pytest.raises(ValueError, match="observation_variance: has a meaning for loss gaussian only"):
        variational(loss="bce", observation_variance=0.5)
