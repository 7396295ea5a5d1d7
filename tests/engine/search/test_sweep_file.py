"""The file of a sweep: all mistakes at once, with their places."""

import re
import sys
from pathlib import Path

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.search.sweep_file import Range, Settings, parsed

DOCUMENT = Path(__file__).parents[3] / "docs/search.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "config: config.yaml\nsapce: {}\ntrials: 0\nmode: mini\n",
            ["2:1  sapce: unknown key; did you mean space?", "space: missing", "3:9  trials: got 0", "4:7  mode: got"],
        ),
        (
            "config: config.yaml\nsampler: grid\ntrials: 3\nspace:\n  optimizer.lr: {low: 1.0, high: 2.0}\n  seed: 3\n",
            ["3:9  trials: got 3", "5:17  space.optimizer.lr: got a range", "6:9  space.seed: got 3, expected a list"],
        ),
        (
            "config: config.yaml\nspace:\n  optimizer.lr: {low: 2.0, high: 1.0}\n  output.root: [a]\n",
            ["1:1  trials: missing", "3:17  space.optimizer.lr: got low 2.0", "4:3  space.output.root: is chosen by"],
        ),
        (
            "config: config.yaml\ntrials: 2\nspace:\n  model.latent_dmi: [2]\n  optimizer.lr: {low: -1.0, high: 1.0}\n"
            "pruner: {name: median, patience: 2}\n",
            [
                "4:22  model.latent_dmi: unknown key; did you mean latent_dim",
                "5:17  optimizer.lr: got -1.0",
                "patience",
            ],
        ),
        ("config: absent.yaml\ntrials: 2\nspace: {seed: [1]}\n", ["absent.yaml"]),
    ],
)
def test_all_mistakes_are_named_with_their_places(write, capsys, text, expected):
    assert main(["sweep", str(write(text))]) == 2
    said = capsys.readouterr().err
    for part in expected:
        assert part in said, said
    assert not (write(text).parent / "sweeps").exists()


def test_without_optuna_a_sweep_is_refused_with_the_way_out(write, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", str(write("config: config.yaml\n"))]) == 2
    assert "a sweep needs optuna" in capsys.readouterr().err


def test_the_documented_file_is_one_and_every_key_is_documented(write):
    text = DOCUMENT.read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    _, settings, space, config = parsed(write(block))
    assert (settings.sampler, settings.trials, settings.seeds, settings.pruner) == ("tpe", 30, 3, "median")
    assert space["optimizer.lr"] == Range(low=0.0001, high=0.01, log=True)
    assert space["model.latent_dim"] == ("8", "16", "32")
    assert config == Path("configs/cae/cae_baseline_fashion_mini.yaml")
    assert all(f"`{key}`" in text for key in Settings.model_fields)
