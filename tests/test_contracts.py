"""What users and scripts outside the project rely on: command line, exit codes, files. By the real scripts."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from firebox.engine.records import checkpoints
from tests.exactness import run_python

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "trainers" / "train_cae_baseline.py"
SMALL = {
    "trainer": "cae_baseline",
    "datamodule": {"name": "fashion_mini", "batch_size": 600},
    "model": {"name": "linear_autoencoder", "latent_dim": 4},
    "module": {"name": "reconstruction"},
    "training": {"epochs": 2},
}


def run(*arguments, cwd=None, script=SCRIPT):
    return run_python(*(["-m", "firebox"] if script is None else [script]), *arguments, cwd=cwd)


def write(folder, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "output": {"root": str(folder / "runs")}, **changes}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run by the real script, from a folder of its own."""
    folder = tmp_path_factory.mktemp("contract")
    done = run(write(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, Path(done.stdout.splitlines()[-1])


def test_the_last_line_is_the_run_directory_and_a_table_of_results_comes_before(finished):
    done, directory = finished
    assert directory.parts[-3:] == ("fashion_mini", "linear_autoencoder", "version_0")
    assert "validation" in done.stdout
    assert "test" in done.stdout
    assert "psnr" in done.stdout


def test_a_run_leaves_every_file_of_the_contract(finished):
    _, directory = finished
    expected = {
        "config.yaml", "environment.json", "model_summary.txt", "losses.jsonl", "images", "checkpoints",
        "status.json", "log.txt",
    }  # fmt: skip
    assert expected <= {path.name for path in directory.iterdir()}
    assert list(directory.glob("events.out.tfevents.*"))
    assert {path.name for path in (directory / "images").iterdir()} >= {"train", "validation"}
    assert all(path.suffix == ".png" for path in (directory / "images" / "validation").iterdir())


def test_losses_have_every_iteration_and_evaluation(finished):
    rows = [json.loads(line) for line in (finished[1] / "losses.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    assert [row["iteration"] for row in train] == list(range(1, 19))
    assert [row["epoch"] for row in train] == [1] * 9 + [2] * 9
    assert [(row["iteration"], row["split"]) for row in rows if row["split"] != "train"] == [
        (9, "validation"), (18, "validation"), (18, "test"),
    ]  # fmt: skip
    assert all({"iteration", "epoch", "split", "loss"} <= row.keys() for row in rows)


def test_a_checkpoint_is_readable_by_torch_alone(finished):
    path = finished[1] / "checkpoints" / "iteration_00000018"
    state = torch.load(path / "state.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in state["model"].values())
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["iteration"] == 18
    assert manifest["epoch"] == 2
    assert "validation/loss" in manifest["metrics"]
    assert set(manifest["files"]["state.pt"]) == {"sha256", "bytes"}


def test_the_status_and_the_environment_say_how_it_was(finished):
    status = json.loads((finished[1] / "status.json").read_text())
    assert (status["status"], status["iteration"]) == ("completed", 18)
    environment = json.loads((finished[1] / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["device"] in ("cpu", "cuda:0")
    assert environment["command_line"][0].endswith("train_cae_baseline.py")


def test_the_configuration_left_behind_makes_the_same_run(finished, tmp_path):
    directory = finished[1]
    done = run(directory / "config.yaml", "--set", f"output.root={tmp_path}")
    assert done.returncode == 0, done.stderr
    again = Path(done.stdout.splitlines()[-1])
    assert (again / "losses.jsonl").read_bytes() == (directory / "losses.jsonl").read_bytes()
    states = [checkpoints.load(path / "checkpoints" / "iteration_00000018") for path in (directory, again)]
    assert all(torch.equal(states[0]["model"][name], states[1]["model"][name]) for name in states[0]["model"])


def test_quiet_prints_the_run_directory_alone(tmp_path):
    done = run(write(tmp_path, training={"epochs": 1}), "--quiet")
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path}/runs/fashion_mini/linear_autoencoder/version_0\n"
    assert done.stderr == ""


def test_firebox_train_is_the_same_command(tmp_path):
    done = run("train", "cae_baseline", write(tmp_path, training={"epochs": 1}), "--quiet", script=None)
    assert done.returncode == 0
    assert Path(done.stdout.strip()).is_dir()


def test_parts_left_out_come_from_the_default_and_the_run_says_so(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trainer: cae_baseline\ntraining: {epochs: 1}\n")
    done = run(path, "--check")
    assert done.returncode == 0, done.stderr
    for part, name in [("datamodule", "fashion_mini"), ("model", "cae_baseline"), ("module", "reconstruction")]:
        assert f"{part}: not given, taken from" in done.stderr
        assert f"configs/cae/cae_baseline_fashion_mini.yaml: {name}" in done.stderr


def test_checking_leaves_nothing(tmp_path):
    done = run(write(tmp_path), "--check")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "runs").exists()


def unwritable(folder):
    (folder / "file").write_text("")
    return write(folder, output={"root": str(folder / "file" / "runs")})


def existing_version(folder):
    (folder / "runs/fashion_mini/linear_autoencoder/first").mkdir(parents=True)
    return write(folder, output={"root": str(folder / "runs"), "version": "first"})


def text(content):
    def write_text(folder):
        path = folder / "config.yaml"
        path.write_text(content.replace("ROOT", str(folder / "runs")))
        return path

    return write_text


BAD = {
    "missing file": (lambda folder: folder / "absent.yaml", ["absent.yaml", "can't read", "No such file"]),
    "syntax error": (text("model: {name: x\ntraining: 3"), ["config.yaml:2:", "not valid YAML"]),
    "unknown key": (
        text("output: {root: ROOT}\nmodel:\n  name: cae_baseline\n  latent_dmi: 3\n"),
        ["config.yaml:4:3", "model.latent_dmi: unknown key; did you mean latent_dim?"],
    ),
    "wrong type": (
        text("output: {root: ROOT}\nmodel:\n  name: cae_baseline\n  latent_dim: many\n"),
        ["config.yaml:4:15", 'model.latent_dim: got "many", expected an integer'],
    ),
    "out of range": (
        text("output: {root: ROOT}\nmodel:\n  name: cae_baseline\n  latent_dim: -4\n"),
        ["config.yaml:4:15", "model.latent_dim: got -4, expected a positive integer"],
    ),
    "unknown component": (
        text("output: {root: ROOT}\nmodel: {name: cae_basline}\n"),
        ["config.yaml:2:15", 'unknown model "cae_basline"; did you mean cae_baseline?'],
    ),
    "another trainer's configuration": (
        lambda _: ROOT / "configs/classifier/classifier_baseline_fashion_mini.yaml",
        ["trainer: got", "classifier_baseline", "firebox train classifier_baseline"],
    ),
    "unwritable output folder": (
        unwritable,
        ["output.root: got", "is a file; expected a folder that can be written to"],
    ),
    "existing version": (existing_version, ["output.version", "first exists already", "--resume"]),
    "nothing to resume": (lambda folder: [write(folder), "--resume"], ["no run in", "start one without --resume"]),
    "resuming what is no run": (lambda folder: [write(folder), "--resume", folder], ["not a run's directory"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_message_and_leaves_nothing(tmp_path, name):
    make, expected = BAD[name]
    arguments = make(tmp_path)
    before = sorted(tmp_path.rglob("*")), sorted((ROOT / "runs").rglob("*"))
    done = run(*(arguments if isinstance(arguments, list) else [arguments]))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for part in expected:
        assert part in done.stderr
    after = sorted(path for path in tmp_path.rglob("*") if path.name != "config.yaml")
    assert after == [path for path in before[0] if path.name != "config.yaml"]
    assert sorted((ROOT / "runs").rglob("*")) == before[1]


def test_ten_mistakes_in_one_file_are_ten_lines_in_one_report(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "sed: 1\n"
        "seed: -1\n"
        "datamodule: {name: fashion_mini, batch_size: 0, validation_fraction: 2}\n"
        "model: {name: cae_baseline, latent_dim: 1.5, chanels: [8]}\n"
        "module: {name: reconstruction, loss: mes}\n"
        "optimizer: {name: adma}\n"
        "training: {epochs: none, precision: float64}\n"
        "handlers: [checkpoint: {every: 1 epok}]\n"
    )
    done = run(path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len([line for line in lines if line.startswith(str(path))]) == 11
    assert lines[-1] == "refused before training: 11 problems"
