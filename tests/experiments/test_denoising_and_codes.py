"""The experiments on noise and on codebooks, and interpolation between codes."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.principal_components import PrincipalComponents, images_of, principal_components
from firebox.engine.archives.references import affine_denoising_error, coding_errors, gaussian_error
from firebox.engine.components.targets import Target
from tests.experiments.archives import HANDLERS, archive_of

DENOISER = f"""\
trainer: denoising_baseline
datamodule: {{name: fashion_mini, batch_size: 600}}
model: {{name: linear_autoencoder, latent_dim: 4}}
module: {{name: denoising, sigma: 0.3}}
optimizer: {{name: adam, lr: 0.01}}
scheduler: null
training: {{epochs: 2, device: cpu}}
{HANDLERS}
"""
VQVAE = f"""\
trainer: vqvae_baseline
datamodule: {{name: fashion_mini, batch_size: 600}}
model: {{name: vqvae_baseline, channels: [4, 8], embedding_dim: 4, num_embeddings: 16}}
module: {{name: vector_quantised}}
scheduler: null
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_of(tmp_path_factory.mktemp("denoiser"), DENOISER, "denoising_baseline")


@pytest.fixture(scope="module")
def vqvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_of(tmp_path_factory.mktemp("vqvae"), VQVAE, "vqvae_baseline")


def run(name: str, archive: Path, *options: str) -> int:
    code: int = Target.parse(f"experiments.{name}:EXPERIMENT").load().run([str(archive), *options])
    return code


def found(archive: Path, name: str) -> dict[str, object]:
    with Image.open(archive / "experiments" / f"{name}.png") as picture:
        picture.load()
    content: dict[str, object] = json.loads((archive / "experiments" / f"{name}.json").read_text())
    return content


def test_denoise_measures_each_strength_beside_the_best_affine_map(denoiser: Path, capsys) -> None:
    assert run("denoise", denoiser, "--count", "2") == 0
    assert "best affine MSE" in capsys.readouterr().out
    content = found(denoiser, "denoise")
    rows = {row["sigma"]: row for row in content["by_sigma"]}  # type: ignore[attr-defined]
    assert len(rows) == 6 and content["trained_with_sigma"] == 0.3
    archive = load_archive(denoiser)
    train, test = (torch.cat(list(images_of(archive.run, split))).flatten(1).double() for split in ("train", "test"))
    mean, identity = train.mean(0), torch.eye(784, dtype=torch.float64)
    covariance = torch.cov(train.T, correction=0)
    for sigma, row in rows.items():
        gain = torch.linalg.solve(covariance + sigma**2 * identity, covariance)
        left = (test - mean) @ (identity - gain)
        best = float((left.square().sum(1).mean() + sigma**2 * gain.square().sum()) / 784)
        assert row["best_affine_mse"] == pytest.approx(best, rel=1e-9)
        assert row["mse"] > best, "four components are not enough"
    card = archive.card["metrics"]["test"]
    assert rows[0.3]["mse"] == pytest.approx(card["loss"]["value"], rel=0.01), "of other noise of the same strength"
    assert rows[0.3]["psnr_of_input"] == pytest.approx(card["psnr_of_input"]["value"], rel=0.01)
    with Image.open(denoiser / "experiments" / "denoise.png") as picture:
        assert picture.size[0] == 6 * 86 + 2


def test_the_best_affine_map_on_the_training_images_is_the_closed_form(denoiser: Path) -> None:
    run = load_archive(denoiser).run
    components = principal_components(run)
    count, energies = components.energies(images_of(run, "train"))
    assert count == 5400 and components.variances is not None
    torch.testing.assert_close(energies, components.variances)
    expected = (components.variances * 0.09 / (components.variances + 0.09)).mean()
    assert affine_denoising_error(components, energies, 0.3) == pytest.approx(float(expected))
    assert affine_denoising_error(components, energies, 0.0) == 0


def test_codebook_usage_counts_the_codes_of_the_whole_split(vqvae: Path, capsys) -> None:
    assert run("codebook_usage", vqvae) == 0
    assert "PCA, 24 components of 8 bits" in capsys.readouterr().out
    content = found(vqvae, "codebook_usage")
    card = load_archive(vqvae).card["metrics"]["test"]
    assert content["bits_of_an_image"] == 49 * 4 and sum(content["counts"]) == 1000 * 49  # type: ignore[call-overload]
    assert content["counts"] == card["code_counts"]["value"]
    for name, other in (("perplexity", "perplexity"), ("dead_codes", "dead_codes"), ("mse", "reconstruction")):
        assert content[name] == pytest.approx(card[other]["value"], rel=1e-5)
    assert card["perplexity"]["reduction"] == "over all images at once"
    others = content["at_equal_bits"]
    assert others["gaussian"] < others["pca"] < content["mse"], "it has hardly been trained"  # type: ignore[index]


def test_the_best_code_of_gaussian_images_fills_water_over_their_variances() -> None:
    def of(*variances: float, bits: float) -> float:
        size = len(variances)
        spectrum = torch.tensor(variances, dtype=torch.float64)
        return gaussian_error(PrincipalComponents(torch.zeros(size), torch.eye(size), spectrum), bits)

    assert of(4.0, 4.0, bits=0) == 4
    assert of(4.0, 4.0, bits=6) == pytest.approx(4 * 2 ** (-2 * 6 / 2))
    assert of(4.0, 1.0, bits=1) == pytest.approx(1), "one bit brings the larger down to the smaller"
    assert of(4.0, 1.0, 1e-20, bits=0.5) == pytest.approx((2 + 1) / 3)
    assert of(4.0, 1.0, bits=3) == pytest.approx(2 ** float((torch.tensor(4.0).log2() - 6) / 2))


def test_principal_components_of_many_bits_lose_what_is_left_out_alone(vqvae: Path) -> None:
    run = load_archive(vqvae).run
    components = principal_components(run)
    errors = coding_errors(components, images_of(run, "train"), images_of(run, "train"), 8 * 12)
    assert components.variances is not None
    left_out = float(components.variances[12:].sum() / 784)
    assert errors.components == 12
    assert left_out < errors.pca < 1.01 * left_out
    assert errors.gaussian < left_out


def test_interpolation_between_codes_decodes_codes(vqvae: Path) -> None:
    from firebox.experiments.interpolate import decode

    archive = load_archive(vqvae)
    subject_run = archive.run
    images = subject_run.preparation(subject_run.streams["test"].first(2)).images
    assert run("interpolate", vqvae, "--count", "2") == 0
    assert found(vqvae, "interpolate")["steps"] == 9

    with torch.no_grad():
        latents = archive.model.embed(images)
        torch.testing.assert_close(decode(archive.model, latents), archive.model(images))
        between = decode(archive.model, latents.mean(0, keepdim=True))
        vectors, _ = archive.model.quantise(latents.mean(0).view(1, *archive.model.latent_shape))
        torch.testing.assert_close(between, archive.model.decode(vectors))


def test_what_lacks_a_codebook_a_prior_or_training_by_noise_is_refused(denoiser: Path, vqvae: Path, capsys) -> None:
    before = {path: sorted(path.iterdir()) for path in (denoiser / "experiments", vqvae / "experiments")}
    assert run("codebook_usage", denoiser) == 2
    assert "codebook_usage needs a model with quantise(); LinearAutoencoder has none" in capsys.readouterr().err
    assert run("denoise", vqvae) == 2
    message = capsys.readouterr().err
    assert "denoise needs a model with training by noise that it removes; VQVAEBaseline has none" in message
    assert message.count("\n") == 1
    assert run("sample", vqvae) == 2
    assert "sample needs a model with a distribution to draw images from" in capsys.readouterr().err
    assert before == {path: sorted(path.iterdir()) for path in before}
