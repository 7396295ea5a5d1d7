"""From YAML to a typed configuration, with all that is wrong in one report."""

import pytest
import yaml

from firebox.engine.configuration import plain, read
from firebox.engine.configuration.identity import digest_of
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

TEN = """\
sede: 1
datamodule:
  name: fashion_mini
  batch_size: 0
  validation_fraction: 1.5
model: {name: cae_baseline, latnt_dim: 3}
module: {name: reconstruction, loss: l2}
optimizer: {name: adma}
training:
  epochs: ten
  precision: half
output: {version: a/b}
handlers:
  - checkpoint: {keep_last: 0}
"""


def problems(folder, text, *assignments):
    path = folder / "x.yaml"
    path.write_text(text)
    with pytest.raises(Refusal) as caught:
        read(TRAINER.name, TRAINER.default, path, assignments)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_ten_mistakes_in_one_file_are_ten_lines_in_one_report(tmp_path):
    found = problems(tmp_path, TEN)
    assert len(found) == 10
    assert [line.split("  ")[0] for line in found] == [
        "x.yaml:1:1",
        "x.yaml:4:15",
        "x.yaml:5:24",
        "x.yaml:6:29",
        "x.yaml:7:38",
        "x.yaml:8:19",
        "x.yaml:10:11",
        "x.yaml:11:14",
        "x.yaml:12:19",
        "x.yaml:14:29",
    ]
    assert "x.yaml:6:29  model.latnt_dim: unknown key; did you mean latent_dim? expected one of: channels" in found[3]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model: 3\n", "x.yaml:1:8  model: got 3, expected a map of keys"),
        ("model: [a]\n", "x.yaml:1:8  model: got ['a'], expected a map of keys"),
        ("model: {latent_dim: 3}\n", "x.yaml:1:1  model.name: missing; expected the name of a model"),
        ("model: {name: 3}\n", "x.yaml:1:15  model.name: got 3, expected a name"),
        ("model: {name: [cae_baseline]}\n", "expected a name"),
        ("handlers: {ema: {}}\n", "x.yaml:1:11  handlers: got {'ema': {}}, expected a list"),
        (
            "handlers: [3]\n",
            "handlers: got 3, expected a name, or a name with a map of parameters, or a name with false",
        ),
        ("handlers: [{ema: 3}]\n", "expected a name, or a name with a map"),
        ("handlers: [{ema: {}, progress: {}}]\n", "expected a name, or a name with a map"),
        ("handlers: [ema, {ema: {}}]\n", "handlers.ema: given twice; expected once"),
        ("seed: -1\n", "x.yaml:1:7  seed: got -1, expected a non-negative integer"),
        ("seed: 1.5\n", "seed: got 1.5, expected an integer"),
        ("seed: true\n", "seed: got True, expected an integer"),
        (f"seed: {2**63}\n", "expected a number less than 9223372036854775808"),
        ("trainer: 3\n", "trainer: got 3, expected text"),
        ("training: {epochs: 1.0}\n", "training.epochs: got 1.0, expected an integer"),
        ("training: {gradient_clip_norm: .inf}\n", "training.gradient_clip_norm: got inf, expected"),
        ("training: {gradient_clip_norm: .nan}\n", "training.gradient_clip_norm: got nan, expected"),
        ("training: {compile: 1}\n", "training.compile: got 1, expected true or false"),
        ("output: {root: null}\n", "output.root: got None, expected text"),
        ("model: {name: cae_baseline, channels: [1, -2]}\n", "model.channels.1: got -2, expected a positive integer"),
        ("model: {name: cae_baseline, channels: 3}\n", "model.channels: got 3, expected a list"),
        ("scheduler: {name: one_cycle}\n", "x.yaml:1:1  scheduler.max_lr: missing; expected a value"),
        ("training: {epochs: 2, epochs: 3}\n", "training.epochs: the key is given twice, first at line 1"),
    ],
)
def test_a_mistake_is_shown_with_its_place_and_what_is_expected(tmp_path, text, problem):
    found = problems(tmp_path, text)
    assert problem in "\n".join(found)
    assert len(found) == 1


def test_a_section_that_is_broken_does_not_hide_the_others(tmp_path):
    found = problems(tmp_path, "model: 3\nmodule: {name: reconstruction, loss: l2}\nhandlers: 3\n", "training.epochs=x")
    assert [line.split("  ")[1].split(":")[0] for line in found] == [
        "training.epochs",
        "model",
        "module.loss",
        "handlers",
    ]


def test_problems_of_all_assignments_come_together(tmp_path):
    found = problems(tmp_path, "", "a", "b")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "assignments", "place"),
    [("handlers:\n  - checkpont: false\n", (), "x.yaml:2:5"), ("", ("handlers.checkpont=false",), "--set")],
)
def test_a_mistyped_handler_is_not_left_out_silently(tmp_path, text, assignments, place):
    (line,) = problems(tmp_path, text, *assignments)
    assert line.startswith(place)
    assert 'handlers.checkpont: unknown handler "checkpont"; did you mean checkpoint?' in line


def test_a_handler_that_is_none_of_the_defaults_and_one_whose_file_is_gone_may_be_left_out(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("handlers:\n  - ema: false\n  - gone.py:Own: false\n")
    assert "ema" not in [named.name for named in read(TRAINER.name, TRAINER.default, path).handlers]


def test_a_file_to_extend_is_not_set_on_the_command_line(tmp_path):
    (line,) = problems(tmp_path, "", "extends=base/image.yaml")
    assert "did you mean extends" not in line
    assert "expected the configuration itself as CONFIG, or extends in a file" in line


def test_what_a_file_leaves_out_comes_from_the_default(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("seed: 3\n")
    configuration = read(TRAINER.name, TRAINER.default, path)
    assert configuration.filled == ("datamodule", "model", "module")
    assert configuration.seed == 3
    assert configuration.mark("model", "name").source == str(TRAINER.default)
    assert configuration.optimizer.name == "adam"


def test_a_resolved_configuration_is_valid_and_resolves_to_itself(tmp_path):
    configuration = read(TRAINER.name, TRAINER.default, None, ["handlers.progress=false", "handlers.ema={decay: 0.9}"])
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(plain(configuration)))
    again = read(TRAINER.name, TRAINER.default, path)
    assert plain(again) == plain(configuration)
    assert digest_of(again) == digest_of(configuration)


def test_places_of_values_and_of_the_sections_of_defaults(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("model: {name: cae_baseline}\nhandlers:\n  - ema\n  - checkpoint: {keep_last: 3}\n")
    configuration = read(TRAINER.name, TRAINER.default, path)
    assert configuration.mark("handlers", "checkpoint", "keep_last").line == 4
    assert configuration.mark("handlers", "checkpoint", "mode") is None
    assert configuration.nearest_mark("handlers", "checkpoint", "mode").line == 4
    assert configuration.nearest_mark("handlers", "ema", "decay").line == 3
    assert (configuration.mark("model", "latent_dim"), configuration.nearest_mark("model", "latent_dim").line) == (
        None,
        1,
    )
    assert configuration.nearest_mark("training", "epochs") is None
