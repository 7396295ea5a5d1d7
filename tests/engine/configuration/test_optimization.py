"""Several optimizers in a configuration: what each part is, how mistakes are told, and what a run records."""

import jsonschema
import pytest

from firebox.engine.configuration import plain, read
from firebox.engine.configuration.core_schema import write
from firebox.engine.configuration.identity import digest_of
from firebox.engine.configuration.schema import schema
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

TEXT = """optimizer:
  name: adamw
  lr: 0.001
  groups:
    - {kinds: [norm, bias], weight_decay: 0}
  parts:
    critic: {lr: 0.004, betas: [0, 0.9], gradient_clip_norm: 0.5}
    generator:
    encoder: {name: sgd, momentum: 0.9, gradient_clip_norm: null, groups: [{parameters: ["*.0"], lr: 0.1}]}
scheduler:
  name: cosine
  final_lr: 0.0001
  parts:
    critic: {warmup: 2 iterations}
    generator: null
    encoder: {name: step}
training: {gradient_clip_norm: 2.0}
"""


def given(folder, text):
    path = folder / "x.yaml"
    path.write_text(text)
    return read(TRAINER.name, TRAINER.default, path)


def problems(folder, text):
    with pytest.raises(Refusal) as caught:
        given(folder, text)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_part_has_the_sections_settings_but_for_its_own(tmp_path):
    configuration = given(tmp_path, TEXT)
    critic, generator = configuration.optimizer_of("critic"), configuration.optimizer_of("generator")
    assert critic.named.parameters == {**configuration.optimizer.parameters, "lr": 0.004, "betas": (0.0, 0.9)}
    assert generator.named.parameters == configuration.optimizer.parameters
    assert (critic.gradient_clip_norm, generator.gradient_clip_norm) == (0.5, 2.0)
    assert [dict(group.settings) for group in critic.groups] == [{"weight_decay": 0.0}]


def test_a_part_with_another_name_begins_from_that_ones_defaults(tmp_path):
    part = given(tmp_path, TEXT).optimizer_of("encoder")
    assert (part.named.name, part.named.parameters["lr"], part.gradient_clip_norm) == ("sgd", 0.01, None)
    assert [(group.parameters, dict(group.settings)) for group in part.groups] == [(("*.0",), {"lr": 0.1})]


def test_an_optimizer_without_a_part_is_the_section(tmp_path):
    configuration = given(tmp_path, TEXT)
    part = configuration.optimizer_of("other")
    assert (part.named, part.gradient_clip_norm) == (configuration.optimizer, 2.0)


def test_schedules_of_parts(tmp_path):
    configuration = given(tmp_path, TEXT)
    critic, encoder = configuration.scheduler_parts["critic"], configuration.scheduler_parts["encoder"]
    assert critic.parameters == {"final_lr": 0.0001, "warmup": "2 iterations"}
    assert configuration.scheduler_parts["generator"] is None
    assert (encoder.name, encoder.parameters["gamma"]) == ("step", 0.9)
    assert configuration.scheduler.parameters["warmup"] is None


def test_a_section_with_parts_alone_schedules_no_other(tmp_path):
    configuration = given(tmp_path, "scheduler: {parts: {critic: {name: step}}}\n")
    assert configuration.scheduler is None
    assert configuration.scheduler_parts["critic"].name == "step"


def test_what_is_recorded_reads_as_the_same_and_fits_the_schema(tmp_path):
    before = given(tmp_path, TEXT)
    (tmp_path / "recorded.yaml").write_text(write(plain(before, tmp_path)))
    after = read(TRAINER.name, TRAINER.default, tmp_path / "recorded.yaml")
    assert plain(after) == plain(before)
    assert digest_of(after) == digest_of(before)
    jsonschema.Draft202012Validator(schema()).validate(plain(before))


def test_a_configuration_without_parts_is_recorded_as_before_there_were_any(tmp_path):
    values = plain(given(tmp_path, "seed: 1\n"))
    assert values["optimizer"].keys() == {"name", "lr", "betas", "eps", "weight_decay"}
    assert values["model"].keys().isdisjoint({"freeze", "weights"})
    assert values["scheduler"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer: {lr: -1, parts: {critic: {betas: [0, 2]}}}",
         ["x.yaml:1:17  optimizer.lr: got -1, expected a positive number",
          "x.yaml:1:49  optimizer.parts.critic.betas.1: got 2, expected a number less than 1.0"]),
        ("optimizer:\n  parts:\n    critic: {lrr: 0.1}",
         ["x.yaml:3:14  optimizer.parts.critic.lrr: unknown key; did you mean lr? expected one of: betas, eps, "
          "gradient_clip_norm, groups, lr, name, weight_decay"]),
        ("optimizer: {parts: {critic: 3}}", ["x.yaml:1:29  optimizer.parts.critic: got 3, expected a map of keys"]),
        ("optimizer: {parts: [critic]}", ["x.yaml:1:20  optimizer.parts: got ['critic'], expected a map of keys"]),
        ("optimizer: {parts: {critic: {name: addam}}}",
         ["x.yaml:1:36  optimizer.parts.critic.name: unknown optimizer \"addam\"; did you mean adam? expected one of: "
          "adam, adamw, sgd, or package.module:Class or path/to/file.py:Class"]),
        ("optimizer: {parts: {critic: {gradient_clip_norm: 0}}}",
         ["x.yaml:1:50  optimizer.parts.critic.gradient_clip_norm: got 0, expected a positive number"]),
        ("optimizer: {groups: [{kinds: [nrm], lr: 1}]}",
         ["x.yaml:1:31  optimizer.groups.0.kinds.0: got \"nrm\", expected one of norm or bias (did you mean norm?)"]),
        ("optimizer: {groups: [{lr: 1}]}",
         ["x.yaml:1:22  optimizer.groups.0: names no parameters; expected parameters, kinds or both"]),
        ("optimizer: {groups: [{kinds: [norm]}]}",
         ["x.yaml:1:22  optimizer.groups.0: has no settings; expected some, such as weight_decay: 0.0"]),
        ("optimizer: {groups: [{kinds: [norm], momentum: 0.9}]}",
         ["x.yaml:1:38  optimizer.groups.0.momentum: unknown key; expected one of: betas, eps, lr, weight_decay"]),
        ("scheduler: {parts: {critic: {gamma: 0.5}}}",
         ["x.yaml:1:21  scheduler.parts.critic.name: missing; expected the name of a scheduler"]),
        ("scheduler: {name: step, parts: {critic: {gama: 0.5}}}",
         ["x.yaml:1:42  scheduler.parts.critic.gama: unknown key; did you mean gamma? expected one of: every, gamma, "
          "name"]),
        ("model: {name: cae_baseline, freeze: encoder}",
         ['x.yaml:1:37  model.freeze: got "encoder", expected a list']),
        ("model: {name: cae_baseline, weights: [3]}", ["x.yaml:1:38  model.weights: got [3], expected text"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_their_place(tmp_path, text, expected):
    assert problems(tmp_path, text + "\n") == expected


@pytest.mark.parametrize("name", ["adam", "torch.optim:Adam", "torch.optim:NAdam"])
def test_whole_numbers_among_floats_reach_torch_as_floats(tmp_path, name):
    import torch

    configuration = given(tmp_path, f"optimizer: {{name: '{name}', betas: [0, 0.9]}}\n")
    optimizer = configuration.optimizer.build([torch.nn.Parameter(torch.ones(2))])
    assert optimizer.defaults["betas"] == (0.0, 0.9)
    assert type(optimizer.defaults["betas"][0]) is float
