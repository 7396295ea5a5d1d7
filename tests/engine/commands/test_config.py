"""firebox config: the resolved configuration with the origin of each value."""

import pytest
import yaml

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import plain, read
from firebox.trainers.train_cae_baseline import TRAINER


@pytest.fixture
def path(tmp_path):
    (tmp_path / "base.yaml").write_text("seed: 7\noptimizer: {name: adam, lr: 0.002}\n")
    (tmp_path / "my.yaml").write_text(
        "extends: base.yaml\ntrainer: cae_baseline\nmodel: {name: cae_baseline, latent_dim: 3}\n"
        "handlers:\n  - checkpoint: {keep_last: 5}\n  - progress: false\n"
    )
    return tmp_path / "my.yaml"


def lines(text):
    pairs = [line.split("  # ") for line in text.splitlines()]
    return {pair[0].strip(): pair[1] for pair in pairs if len(pair) == 2}


def test_each_value_says_where_it_comes_from(path, capsys):
    assert main(["config", str(path), "--set", "training.epochs=3"]) == 0
    origins = lines(capsys.readouterr().out)
    assert origins["latent_dim: 3"] == f"{path}:3:41"
    assert origins["lr: 0.002"] == f"{path.parent}/base.yaml:2:29"
    assert origins["epochs: 3"] == "--set training.epochs"
    assert origins["keep_last: 5"] == f"{path}:5:29"
    assert origins["keep_best: 1"] == "default"
    assert origins["- progress: false"] == f"{path}:6:15"
    assert origins["loss: mse"].endswith("configs/cae/cae_baseline_fashion_mini.yaml:7:38")


def test_what_is_printed_is_a_configuration_that_resolves_to_the_same(path, tmp_path, capsys):
    assert main(["config", str(path)]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    expected = plain(read(TRAINER.name, TRAINER.default, path))
    assert yaml.safe_load(printed.read_text()) == expected
    assert plain(read(TRAINER.name, TRAINER.default, printed)) == expected


def test_a_file_that_names_no_trainer_takes_one_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "my.yaml"
    path.write_text("seed: 3\n")
    assert main(["config", str(path)]) == 2
    assert "trainer: missing; expected it in the file, or --trainer NAME" in capsys.readouterr().err
    assert main(["config", str(path), "--trainer", "vae_baseline"]) == 0
    assert "name: variational" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("trainer: cae_base\n", [], "trainer: got \"cae_base\"; did you mean"),
        ("trainer: [1]\n", [], "trainer: got [1]; expected one of"),
        ("trainer: cae_baseline\nseed: x\n", [], "seed: got \"x\", expected an integer"),
        ("seed: 3\n", ["--trainer", "nobody"], "trainer: got \"nobody\"; expected one of"),
        ("a: [", ["--trainer", "cae_baseline"], "not valid YAML"),
    ],
)  # fmt: skip
def test_a_configuration_that_can_not_be_is_refused(tmp_path, capsys, text, options, problem):
    path = tmp_path / "my.yaml"
    path.write_text(text)
    assert main(["config", str(path), *options]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""
