"""Archives: made from a run, verified as they are loaded."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.making import archive_run
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.records import checkpoints
from firebox.engine.records.sealing import sealed
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal

CONFIGURATION = """\
trainer: cae_baseline
seed: 7
datamodule: {name: fashion_mini, batch_size: 600}
model: {name: linear_autoencoder, latent_dim: 4}
module: {name: reconstruction, loss: mse}
optimizer: {name: adam, lr: 0.002}
training: {epochs: 2, device: cpu}
handlers:
  - progress: false
  - checkpoint: {monitor: validation/psnr, mode: max}
  - ema: {decay: 0.9}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, 9 iterations each."""
    folder = tmp_path_factory.mktemp("trained")
    file = folder / "configuration.yaml"
    file.write_text(CONFIGURATION)
    configuration = read("cae_baseline", file, None, [f"output.root={folder / 'runs'}"])
    assert train(configuration, None, StopRequest()) == 0
    return folder / "runs" / "fashion_mini" / "linear_autoencoder" / "version_0"


@pytest.fixture(scope="module")
def archived(trained: Path) -> Path:
    return archive_run(trained)


def copied(folder: Path, tmp_path: Path) -> Path:
    """A writable copy of an archive or a run, at the same place below another root."""
    root = tmp_path / "runs"
    place = root / folder.relative_to(next(parent for parent in folder.parents if parent.name == "runs"))
    shutil.copytree(folder, place)
    for path in (place, *place.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    return place


def edit_card(archive: Path, *keys: str, value: object) -> None:
    card = json.loads((archive / "card.json").read_text())
    inner = card
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (archive / "card.json").write_text(json.dumps(sealed(card)))


def test_archive_holds_everything_and_is_read_only_but_for_the_experiments(archived: Path) -> None:
    assert archived.name.startswith("archived_v1_")
    names = {"weights.safetensors", "config.yaml", "model_summary.txt", "metrics.json", "card.json"}
    assert {path.name for path in archived.iterdir()} == {*names, "images", "samples", "experiments"}
    assert list(archived.glob("images/validation/*.png"))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (archived, *archived.rglob("*"))}
    assert modes.pop(archived / "experiments") == 0o755
    assert all(mode == (0o555 if path.is_dir() else 0o444) for path, mode in modes.items())
    assert not list(archived.parent.glob(".*"))


def test_card_says_what_the_model_is_and_how_good_it_is(archived: Path, trained: Path) -> None:
    card = json.loads((archived / "card.json").read_text())
    assert card["schema_version"] == 2
    assert card["version"] == card["weights"]["sha256"]
    assert card["weights"]["kind"] == "ema"
    assert card["weights"]["n_params"] == 2 * 784 * 4 + 784 + 4
    assert card["signature"]["input"] == {
        "shape": [1, 28, 28],
        "channels": 1,
        "dtype": "float32",
        "pixel_range": "[0,1]",
    }
    assert card["signature"]["latent_shape"] == [4]
    assert {split: entry["images"] for split, entry in card["data"]["splits"].items()} == {
        "train": 5400,
        "validation": 600,
        "test": 1000,
    }
    assert card["selection"]["metric"] == "validation/psnr"
    loss = card["metrics"]["test"]["loss"]
    assert (loss["n"], loss["reduction"]) == (1000, "mean over the images")
    baseline = card["baseline"]
    assert baseline["model"] == pytest.approx(loss["value"], rel=1e-6)
    assert baseline["components"] == 4
    assert baseline["pca"] < baseline["mean_image"]
    assert card["validated_by"][0]["pass"]
    assert card["run"]["directory"] == str(trained)
    assert card["samples"][0]["file"] == "samples/reconstruction.png"


def test_archived_metrics_are_those_that_the_run_measured_of_the_averaged_weights(
    archived: Path, trained: Path
) -> None:
    rows = [json.loads(line) for line in (trained / "losses.jsonl").read_text().splitlines()]
    recorded = next(row for row in rows if row["split"] == "test")
    metrics = json.loads((archived / "metrics.json").read_text())
    assert metrics["test"]["loss"] == pytest.approx(recorded["loss"], rel=1e-6)


def test_weights_are_the_averaged_ones_of_the_checkpoint(archived: Path, trained: Path) -> None:
    state = checkpoints.load(checkpoints.path_of(trained / "checkpoints", 18))
    weights = load_file(archived / "weights.safetensors")
    for name, value in state["handlers"]["ema"]["model"].items():
        assert torch.equal(weights[name], value)
        assert not torch.equal(weights[name], state["model"][name])


def test_loads_by_name_and_by_path_in_evaluation_mode(archived: Path) -> None:
    by_name = load_archive(f"fashion_mini/{archived.name}", archived.parent.parent)
    by_path = load_archive(archived)
    assert by_name.path == by_path.path
    assert not by_path.model.training
    assert by_path.specification.shape == (1, 28, 28)
    assert by_path.data.split_lengths["test"] == 1000
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(by_name.model(images), by_path.model(images))


def test_archive_loads_after_the_run_is_gone(archived: Path, tmp_path: Path) -> None:
    assert load_archive(copied(archived, tmp_path)).card["trainer"] == "cae_baseline"


def test_archiving_again_takes_the_next_number_and_overwrites_nothing(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    parent = run.parent.parent
    (parent / "archived_v7_2020-01-01").mkdir()
    (parent / ".archived_v8_2020-01-01.writing").mkdir()
    (parent / ".archived_v8_2020-01-01.writing" / "half").touch()
    assert archive_run(run, "last").name.startswith("archived_v8_")
    assert not list(parent.glob(".*"))
    assert not list((parent / "archived_v7_2020-01-01").iterdir())


def test_best_is_chosen_by_the_runs_own_metric_and_mode(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    manifests = checkpoints.valid_manifests(run / "checkpoints")
    assert [manifest.iteration for manifest in manifests] == [9, 18]
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("mode: max", "mode: min"))
    card = json.loads((archive_run(run) / "card.json").read_text())
    worst = min(manifests, key=lambda manifest: manifest.metrics["validation/psnr"])
    assert card["selection"]["iteration"] == worst.iteration


def test_an_iteration_is_archived_with_the_images_up_to_it(trained: Path, tmp_path: Path) -> None:
    archive = archive_run(copied(trained, tmp_path), "9")
    assert json.loads((archive / "card.json").read_text())["selection"]["iteration"] == 9
    assert [path.name[:18] for path in archive.glob("images/validation/*.png")] == ["iteration_00000009"]


def damage_all(run: Path) -> None:
    for state in run.glob("checkpoints/*/state.pt"):
        state.write_bytes(b"damaged")


def forget_metrics(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("monitor: validation/psnr", "monitor: validation/other"))


@pytest.mark.parametrize(
    ("wanted", "spoil", "message"),
    [
        ("best", lambda run: (run / "config.yaml").unlink(), "not a run's directory"),
        ("best", lambda run: shutil.rmtree(run / "checkpoints"), "no valid checkpoint"),
        ("best", damage_all, "no valid checkpoint"),
        ("best", forget_metrics, "validation/other was measured at no checkpoint"),
        ("10", lambda run: run, "no such checkpoint; expected one of: 9, 18"),
        ("newest", lambda run: run, "expected best, last or an iteration"),
    ],
)
def test_what_cannot_be_archived_is_refused_and_leaves_nothing(
    trained: Path, tmp_path: Path, wanted: str, spoil: object, message: str
) -> None:
    run = copied(trained, tmp_path)
    spoil(run)  # type: ignore[operator]
    with pytest.raises(Refusal) as refused:
        archive_run(run, wanted)
    assert len(refused.value.problems) == 1
    assert message in str(refused.value)
    assert [path.name for path in run.parent.parent.iterdir()] == ["linear_autoencoder"]


def test_a_run_that_is_being_trained_is_refused(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    imports = "import sys; from firebox.engine.records.run_directory import RunDirectory, Path"
    code = f"{imports}; RunDirectory(Path(sys.argv[1])).lock()"
    command = [sys.executable, "-c", f"{code}; print(flush=True); input()", str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        assert training.stdout is not None
        training.stdout.readline()
        with pytest.raises(Refusal, match="in use"):
            archive_run(run)
        training.communicate(b"\n")


def spoil(run: Path, iteration: int) -> None:
    """Flips a bit in the middle of a checkpoint's state; its size stays."""
    state = checkpoints.path_of(run / "checkpoints", iteration) / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)


@pytest.mark.parametrize("wanted", ["best", "last"])
def test_a_damaged_checkpoint_is_passed_over_for_the_next_best_or_last(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    run = copied(trained, tmp_path)
    whole = json.loads((archive_run(run, wanted) / "card.json").read_text())["selection"]["iteration"]
    spoil(run, whole)
    chosen = json.loads((archive_run(run, wanted) / "card.json").read_text())["selection"]["iteration"]
    assert {whole, chosen} == {9, 18}
    assert f"iteration_{whole:08d}/state.pt: its SHA-256" in caplog.text
    assert f"the next {wanted} one is taken" in caplog.text
    spoil(run, chosen)
    with pytest.raises(Refusal, match=r"has no valid checkpoint: damaged checkpoint: .*state.pt"):
        archive_run(run, wanted)


def test_a_damaged_checkpoint_that_is_asked_for_is_refused(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    spoil(run, 9)
    with pytest.raises(Refusal, match=r"damaged checkpoint: .*iteration_00000009/state.pt"):
        archive_run(run, "9")


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_run_whose_records_are_odd_is_archived(trained: Path, tmp_path: Path, text: str) -> None:
    run = copied(trained, tmp_path)
    for name in ("environment.json", "status.json"):
        (run / name).write_text(text)
    card = json.loads((archive_run(run, "last") / "card.json").read_text())
    assert card["env"]["training"] == {}


def flip_a_byte(archive: Path) -> None:
    content = bytearray((archive / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (archive / "weights.safetensors").write_bytes(content)


def give_other_weights(archive: Path) -> None:
    """Weights of another size, with hashes that are right."""
    from safetensors.torch import save_file

    from firebox.foundation.files import digest

    save_file({"encoder.1.weight": torch.zeros(4, 784)}, archive / "weights.safetensors")
    sha256 = digest(archive / "weights.safetensors")
    edit_card(archive, "version", value=sha256)
    edit_card(archive, "weights", "sha256", value=sha256)
    edit_card(archive, "files", "weights.safetensors", "sha256", value=sha256)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (flip_a_byte, "weights.safetensors: its SHA-256 is not the card's"),
        (give_other_weights, "doesn't fit the model"),
        (lambda path: (path / "config.yaml").write_text("trainer: cae_baseline\n"), "config.yaml: its SHA-256"),
        (lambda path: (path / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (lambda path: (path / "card.json").unlink(), "card.json is missing"),
        (lambda path: (path / "card.json").write_text("{"), "card.json: can't be read"),
        (
            lambda path: edit_card(path, "schema_version", value=1),
            "schema_version is 1, expected 2; archive its run again",
        ),
        (lambda path: edit_card(path, "version", value="0" * 64), "version is not the SHA-256"),
        (lambda path: edit_card(path, "signature", "input", "pixel_range", value="[-1,1]"), "signature.input"),
        (lambda path: edit_card(path, "signature", "classes", value=[]), "signature.classes"),
        (lambda path: edit_card(path, "self_check", "value", value=1.0), "self-check failed: psnr on 256 images"),
        (lambda path: edit_card(path, "weights", value=None), "weights.sha256 is missing"),
    ],
)
def test_an_archive_that_disagrees_with_its_card_is_refused(
    archived: Path, tmp_path: Path, tamper: object, message: str
) -> None:
    archive = copied(archived, tmp_path)
    tamper(archive)  # type: ignore[operator]
    with pytest.raises(Refusal) as refused:
        load_archive(archive)
    assert len(refused.value.problems) == 1
    assert message in str(refused.value)


def test_an_unknown_name_is_refused_with_those_that_exist(archived: Path) -> None:
    with pytest.raises(Refusal, match=f"expected one of: fashion_mini/{archived.name}"):
        load_archive("fashion_mini/archived_v99_2020-01-01", archived.parent.parent)


@pytest.mark.parametrize("way", ["from inside", "from inside a folder of it", "relative", "trailing slash", "link"])
def test_an_archive_lies_beside_its_run_however_the_run_is_named(
    way: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(trained, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(run, target_is_directory=True)
    folder, named = {
        "from inside": (run, "."),
        "from inside a folder of it": (run / "checkpoints", ".."),
        "relative": (run.parent, run.name),
        "trailing slash": (run.parent.parent, f"{run.parent.name}/{run.name}/"),
        "link": (tmp_path, "elsewhere/link"),
    }[way]
    monkeypatch.chdir(folder)
    archive = archive_run(Path(named))

    assert archive.is_absolute()
    assert archive.parent == run.parent.parent
    assert json.loads((archive / "card.json").read_text())["name"] == f"fashion_mini/{archive.name}"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "elsewhere"}
    assert not list(run.glob("archived_*"))
