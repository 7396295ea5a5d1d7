"""The experiments, run as scripts on real archives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.making import archive_run
from firebox.engine.archives.measurement import reconstruction_errors
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.package import ROOT
from tests.exactness import run_python

HANDLERS = "handlers: [progress: false, image_dump: false, loss_log: false]"
AUTOENCODER = f"""\
trainer: cae_baseline
datamodule: {{name: fashion_mini, batch_size: 600}}
model: {{name: linear_autoencoder, latent_dim: 4}}
module: {{name: reconstruction, loss: mse}}
optimizer: {{name: adam, lr: 0.01}}
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""
CLASSIFIER = f"""\
trainer: classifier_baseline
datamodule: {{name: fashion_mini, batch_size: 600}}
model: {{name: classifier_baseline, channels: [4]}}
module: {{name: classification}}
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""


def archive_of(configuration: str, trainer: str, folder: Path) -> Path:
    file = folder / "configuration.yaml"
    file.write_text(configuration)
    settings = read(trainer, file, None, [f"output.root={folder / 'runs'}"])
    assert train(settings, None, StopRequest()) == 0
    return archive_run(settings.directory / "version_0")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_of(AUTOENCODER, "cae_baseline", tmp_path_factory.mktemp("autoencoder"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_of(CLASSIFIER, "classifier_baseline", tmp_path_factory.mktemp("classifier"))


def run_script(name: str, archive: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a script from another folder, the archive given by its name."""
    named = f"fashion_mini/{archive.name}"
    script = ROOT / "experiments" / f"{name}.py"
    return run_python(script, named, "--root", "runs", *options, cwd=archive.parent.parent.parent)


def found(archive: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((archive / "experiments" / f"{name}.json").read_text())
    assert content["version"] == json.loads((archive / "card.json").read_text())["version"]
    return content


def size_of(archive: Path, name: str) -> tuple[int, int]:
    with Image.open(archive / "experiments" / f"{name}.png") as picture:
        picture.load()
        return picture.size


def test_evaluate_compares_with_pca_of_the_same_size_and_the_mean_image(autoencoder: Path) -> None:
    done = run_script("evaluate", autoencoder)
    assert done.returncode == 0, done.stderr
    assert "PCA, 4 components" in done.stdout
    content = found(autoencoder, "evaluate")
    card = json.loads((autoencoder / "card.json").read_text())
    assert content["metrics"]["loss"] == pytest.approx(card["metrics"]["test"]["loss"]["value"])  # type: ignore[index]
    errors = content["reconstruction"]
    assert errors["images"] == 1000  # type: ignore[index]
    assert errors["pca"] < errors["model"] and errors["pca"] < errors["mean_image"]  # type: ignore[index]


def test_reconstruct_draws_images_over_their_reconstructions(autoencoder: Path) -> None:
    done = run_script("reconstruct", autoencoder, "--count", "10")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"{autoencoder.name}/experiments/reconstruct.png")
    assert len(found(autoencoder, "reconstruct")["mse"]) == 10  # type: ignore[arg-type]
    # Eight columns of 28 pixels, enlarged three times and two pixels apart, in two blocks of two rows and a name.
    assert size_of(autoencoder, "reconstruct") == (8 * 86 + 2, 2 * (2 * 86 + 22) + 2)


def test_interpolate_draws_a_row_for_each_pair(autoencoder: Path) -> None:
    done = run_script("interpolate", autoencoder, "--count", "3")
    assert done.returncode == 0, done.stderr
    assert found(autoencoder, "interpolate")["pairs"] == [[0, 3], [1, 4], [2, 5]]
    assert size_of(autoencoder, "interpolate") == (11 * 86 + 2, 3 * 86 + 2)


def test_latent_space_shows_every_test_image_by_class(autoencoder: Path) -> None:
    done = run_script("latent_space", autoencoder)
    assert done.returncode == 0, done.stderr
    content = found(autoencoder, "latent_space")
    assert len(content["points"]) == 1000  # type: ignore[arg-type]
    assert content["projection"] == "pca"
    assert len(content["centroids"]) == 10  # type: ignore[arg-type]
    width, height = size_of(autoencoder, "latent_space")
    assert width > height > 640


@pytest.mark.parametrize("name", ["sample", "nearest_training_image"])
def test_an_autoencoder_that_has_no_prior_draws_nothing(
    autoencoder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from firebox.engine.components.targets import Target

    experiment = Target.parse(f"experiments.{name}:EXPERIMENT").load()
    assert experiment.run([str(autoencoder)]) == 2
    message = capsys.readouterr().err
    expected = f"{name} needs a model with a distribution to draw images from; LinearAutoencoder has none"
    assert message.count("\n") == 1 and expected in message
    assert not (autoencoder / "experiments" / f"{name}.json").exists()


@pytest.mark.parametrize(
    "name",
    ["reconstruct", "interpolate", "latent_space", "denoising_trajectory", "guidance_sweep", "steps_sweep"],
)
def test_a_classifier_is_refused_in_one_line(
    classifier: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from firebox.engine.components.targets import Target

    monkeypatch.chdir(classifier.parent.parent.parent)
    experiment = Target.parse(f"experiments.{name}:EXPERIMENT").load()
    assert experiment.run([f"fashion_mini/{classifier.name}"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{name} needs a model with" in message
    assert not list((classifier / "experiments").iterdir())


def test_evaluate_measures_a_classifier_on_as_many_images_as_are_asked_for(classifier: Path) -> None:
    from firebox.experiments.evaluate import EXPERIMENT

    assert EXPERIMENT.run([str(classifier), "--count", "100"]) == 0
    content = found(classifier, "evaluate")
    assert "reconstruction" not in content
    matrix = content["metrics"]["confusion_matrix"]  # type: ignore[index]
    assert sum(map(sum, matrix)) == 100


def test_help_imports_no_torch() -> None:
    code = """
import sys
from importlib import import_module
for name in ("evaluate", "reconstruct", "interpolate", "latent_space", "sample", "nearest_training_image"):
    try:
        import_module(f"experiments.{name}").EXPERIMENT.run(["--help"])
    except SystemExit as stopped:
        assert stopped.code == 0
print("torch" in sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.count("--count N") == 12
    assert output.splitlines()[-1] == "False"


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_count_that_is_no_positive_number_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    from firebox.experiments.reconstruct import EXPERIMENT

    with pytest.raises(SystemExit) as refused:
        EXPERIMENT.run(["anything", f"--count={count}"])
    assert refused.value.code == 2
    assert "invalid positive whole number value" in capsys.readouterr().err


def test_principal_components_lose_what_the_trailing_eigenvalues_hold(autoencoder: Path) -> None:
    import torch

    run = load_archive(autoencoder).run
    errors = reconstruction_errors(run, "train")
    assert errors is not None and errors.pca is not None
    images = run.streams["train"].first(5400).images.flatten(1).double() / 255
    covariance = torch.cov(images.T, correction=0)
    expected = torch.linalg.eigvalsh(covariance)[:-4].sum() / 784
    assert errors.pca == pytest.approx(float(expected), rel=1e-6)
    assert errors.mean_image == pytest.approx(float(covariance.trace()) / 784, rel=1e-6)
    assert errors.model > errors.pca
