"""Vector quantisation held against mathematics: k-means, Lloyd's step, the straight-through gradient, perplexity."""

import pytest
import torch
from sklearn.cluster import KMeans
from torch.nn import functional

from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.foundation.usage_plot import perplexity
from firebox.handlers import DEFAULTS
from tests.soaking import soak
from tests.test_anchors import CONFIGS, training_pixels

WHOLE = f"'{CONFIGS.parent / 'tests' / 'quantised_components.py'}:Whole'"
OFF = ["training.device=cpu", *(f"handlers.{name}=false" for name in DEFAULTS)]
FILE = "vqvae/vqvae_baseline_fashion_mini.yaml"


def assembled(*assignments):
    return build(read("vqvae_baseline", CONFIGS / FILE, None, [*OFF, "scheduler=null", *assignments]))


def trained(run):
    run.trainer.run(run.streams["train"])
    return run


def k_means(codes, *assignments):
    """Returns a run whose model quantises images whole: its codes are clusters of images."""
    return assembled(f"model={{name: {WHOLE}, num_embeddings: {codes}}}", "optimizer.lr=1e-30", *assignments)


def distortion(run, pixels):
    with torch.no_grad():
        return float((run.model(pixels.unflatten(1, (1, 28, 28))).flatten(1) - pixels).square().mean())


def begin_at(codebook, vectors):
    """Lets a codebook begin at vectors (K, D) instead of those of k-means."""
    with torch.no_grad():
        codebook.embeddings.copy_(vectors)
        codebook.sums.copy_(vectors)
        codebook.counts.fill_(1.0)


@pytest.mark.parametrize(("codes", "decay"), [(10, 0.99), pytest.param(64, 0.95, marks=soak)])
def test_codes_of_whole_images_are_those_of_k_means(codes, decay):
    run = trained(k_means(codes, f"module.decay={decay}", "training.epochs=12"))
    pixels = training_pixels(run).float()
    reference = KMeans(codes, n_init=2, random_state=0).fit(pixels.numpy()).inertia_ / pixels.numel()
    assert 0.99 <= distortion(run, pixels) / reference <= 1.03


def test_a_codebook_that_begins_far_from_the_data_is_not_k_means():
    run = k_means(10, "module.restart_below=0", "training.epochs=2")
    begin_at(run.model.codebook, torch.randn(10, 784, generator=torch.Generator().manual_seed(0)))
    trained(run)
    pixels = training_pixels(run).float()
    mean_image = float((pixels - pixels.mean(0)).square().mean())
    assert distortion(run, pixels) == pytest.approx(mean_image, rel=0.05), "one code stands for everything"
    assert len(run.model.quantise(run.model.encode(pixels.unflatten(1, (1, 28, 28))))[1].unique()) == 1


@pytest.mark.parametrize(("decay", "exact"), [(0.0, True), (0.1, False)])
def test_a_step_on_all_images_without_memory_is_lloyds(decay, exact):
    run = k_means(
        20,
        f"module.decay={decay}",
        "module.epsilon=0",
        "module.restart_below=0",
        "datamodule.batch_size=5400",
        "training.epochs=1",
    )
    pixels = training_pixels(run)
    vectors = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(1))[:20]]
    begin_at(run.model.codebook, vectors.float())
    trained(run)
    nearest = torch.cdist(pixels, vectors).argmin(1)
    means = torch.stack([pixels[nearest == code].mean(0) for code in range(20)])
    difference = float((run.model.codebook.embeddings - means).abs().max())
    assert (difference <= 2e-5) == exact, difference


def test_the_encoders_gradient_is_straight_through_and_the_commitments():
    beta, small = 0.25, ("model.channels=[4, 6]", "model.embedding_dim=5", "model.num_embeddings=12")
    run = assembled(*small, f"module.commitment_cost={beta}", "optimizer={name: sgd, lr: 1.0}")
    model = run.model
    begin_at(model.codebook, 0.3 * torch.randn(12, 5, generator=torch.Generator().manual_seed(2)))
    images = run.preparation(run.streams["train"].first(8)).images
    before = [parameter.detach().clone() for parameter in model.encoder.parameters()]

    latents = model.encode(images)
    vectors = model.quantise(latents)[0].detach().requires_grad_()
    (through,) = torch.autograd.grad(functional.mse_loss(model.decode(vectors), images), vectors)
    distance = (latents - vectors).detach()
    weights = {"right": beta, "of the codebook": 1.0, "of the other sign": -beta, "none": 0.0}
    commitments = {name: 2 * weight * distance / distance.numel() for name, weight in weights.items()}
    commitments["summed over a latent"] = commitments["right"] * 5
    parameters = list(model.encoder.parameters())
    expected = {
        name: torch.autograd.grad(latents, parameters, through + commitment, retain_graph=True)
        for name, commitment in commitments.items()
    }
    # One step of SGD with the rate 1 takes away the gradient.
    run.training(run.trainer, run.streams["train"].first(8))
    found = [old - new for old, new in zip(before, parameters, strict=True)]

    def same(others):
        return all(torch.allclose(own, other, rtol=1e-4, atol=1e-7) for own, other in zip(found, others, strict=True))

    assert {name for name, gradient in expected.items() if same(gradient)} == {"right"}


def test_perplexity_is_of_the_whole_split_and_lies_between_one_and_the_number_of_codes():
    run = trained(assembled("model.channels=[4, 6]", "datamodule.batch_size=300", "training.epochs=1"))
    stream = run.streams["validation"]
    with run.evaluating():
        run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    metrics = run.evaluator.state.metrics
    with torch.no_grad():
        codes = run.model.quantise(run.model.encode(run.preparation(stream.first(stream.samples)).images))[1]
    shares = codes.flatten().bincount(minlength=256).double() / codes.numel()
    assert 1 <= metrics["perplexity"] <= 256
    assert metrics["perplexity"] == pytest.approx(float(torch.special.entr(shares).sum().exp()))
    assert metrics["dead_codes"] == int((shares == 0).sum())
    assert int(metrics["code_counts"].sum()) == stream.samples * 49
    assert perplexity(torch.tensor([3, 0, 0])) == 1 and perplexity(torch.ones(7)) == pytest.approx(7)
