"""Groups of an optimizer's parameters, by name and by kind."""

import pytest
import torch
from torch import nn

from firebox.engine.checks.report import preflight
from firebox.engine.training.factory import build
from firebox.engine.training.weights.parameter_groups import matches
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import configured, rows_of, stopped, trained

SOURCE = """
from torch import nn

class Normed(nn.Module):
    def __init__(self, input_shape, *, latent_dim: int = 4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4))
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.LayerNorm(64), nn.Unflatten(1, (1, 8, 8)))
    def forward(self, images):
        return self.decoder(self.encoder(images))
"""
HANDLERS = {"loss_log": {}, "checkpoint": {"every": "4 iterations"}}


def normed(folder, groups=None, handlers=HANDLERS, **sections):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(SOURCE)
    optimizer = {"name": "adamw", "lr": 0.002, "weight_decay": 0.1, **sections.pop("optimizer", {})}
    if groups is not None:
        optimizer["groups"] = groups
    model = {"name": "own.py:Normed", **sections.pop("model", {})}
    return configured(folder, handlers, model=model, optimizer=optimizer, **sections)


def names(run, number):
    known = {id(parameter): name for name, parameter in run.model.named_parameters()}
    return {known[id(parameter)] for parameter in run.update.optimizers["main"].param_groups[number]["params"]}


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("encoder", "encoder.1.weight", True),
        ("encoder.1", "encoder.1.weight", True),
        ("encoder.1", "encoder.10.weight", False),
        ("encoder.*", "encoder.1.weight", True),
        ("*.weight", "encoder.1.weight", True),
        ("weight", "encoder.1.weight", False),
        ("encode", "encoder.1.weight", False),
        ("*", "scale", True),
    ],
)
def test_a_pattern_fits_a_name_or_a_layer_that_contains_it(pattern, name, fits):
    assert matches(pattern, name) is fits


def test_norms_and_biases_are_told_by_their_layers_and_names(tmp_path):
    run = build(normed(tmp_path, [{"kinds": ["norm", "bias"], "weight_decay": 0.0}]))
    groups = run.update.optimizers["main"].param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert names(run, 0) == {"encoder.1.weight", "decoder.0.weight"}


def test_the_first_group_that_fits_counts_and_the_rest_is_as_the_section(tmp_path):
    groups = [
        {"parameters": ["encoder"], "kinds": ["norm"], "lr": 0.1},
        {"parameters": ["encoder"], "lr": 0.2},
        {"kinds": ["bias"], "weight_decay": 0.0},
    ]
    run = build(normed(tmp_path, groups))
    assert [names(run, n) for n in range(4)] == [
        {"decoder.0.weight", "decoder.1.weight"},
        {"encoder.2.weight", "encoder.2.bias"},
        {"encoder.1.weight", "encoder.1.bias"},
        {"decoder.0.bias", "decoder.1.bias"},
    ]
    assert [group["lr"] for group in run.update.optimizers["main"].param_groups] == [0.002, 0.1, 0.2, 0.002]


def test_groups_with_the_settings_of_the_section_change_no_bit(tmp_path):
    whole = trained(normed(tmp_path / "whole"))
    divided = trained(
        normed(tmp_path / "divided", [{"kinds": ["bias"], "lr": 0.002}, {"kinds": ["norm"], "eps": 1e-8}])
    )
    assert whole.directory.losses.read_bytes() == divided.directory.losses.read_bytes()


def test_a_groups_weights_decay_by_its_own_setting(tmp_path):
    """A decay of 1 / lr sets a weight to zero at the first step, but for the step itself."""
    groups = [{"parameters": ["decoder.1.weight"], "weight_decay": 500.0}]
    run = trained(normed(tmp_path, groups, training={"epochs": 1}))
    assert run.model.decoder[1].weight.abs().max() < 0.02
    assert run.model.encoder[2].weight.min() > 0.9


@pytest.mark.parametrize(
    "scheduler",
    [{"name": "one_cycle", "max_lr": 0.01}, {"name": "cosine", "final_lr": 0.001}, {"name": "step", "gamma": 0.5}],
)
def test_a_group_keeps_its_share_of_the_rate_and_has_it_recorded(tmp_path, scheduler):
    run = trained(normed(tmp_path, [{"parameters": ["encoder"], "lr": 0.0002}], scheduler=scheduler))
    rows = rows_of(run)
    assert len({row["learning_rate"] for row in rows}) > 1
    shares = [row["learning_rate/main/1"] / row["learning_rate"] for row in rows]
    assert shares == pytest.approx([0.1] * 18)


def test_a_run_with_groups_resumes_to_the_bit(tmp_path):
    groups = [{"kinds": ["norm"], "weight_decay": 0.0, "lr": 0.0001}]
    scheduler = {"name": "reduce_on_plateau", "patience": 0}
    sections = {
        "scheduler": scheduler,
        "handlers": {**HANDLERS, "evaluation": {"every": "2 iterations", "test": False}},
    }
    whole = trained(normed(tmp_path / "whole", groups, **sections))
    configuration = normed(tmp_path / "stopped", groups, **sections)
    stopped(configuration, 7)
    assert trained(configuration).directory.losses.read_bytes() == whole.directory.losses.read_bytes()


def test_a_group_that_nothing_fits_is_refused_at_its_place(tmp_path):
    groups = [{"kinds": ["bias"], "lr": 0.1}, {"parameters": ["encodr"], "lr": 0.2}]
    with pytest.raises(Refusal) as caught:
        preflight(normed(tmp_path, groups), TRAINER)
    (problem,) = caught.value.problems
    expected = "got parameters encodr, which fits no parameter that is trained; did you mean encoder? expected a"
    assert f"optimizer.groups.1: {expected}" in str(problem)
    assert "configuration.yaml:" in str(problem)


TWO = """
from firebox.modules.reconstruction import Reconstruction

class Two(Reconstruction):
    def parameters(self):
        return {"main": list(self.model.encoder.parameters()), "other": list(self.model.decoder.parameters())}
"""


@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"lr": 0.2}])
def test_a_group_of_one_optimizer_is_not_found_in_another(tmp_path, settings):
    (tmp_path / "two.py").write_text(TWO)
    groups, module = [{"parameters": ["encoder"], "lr": 0.2}], {"name": "two.py:Two"}
    optimizer = {"parts": {"other": {"groups": [{"parameters": ["encoder"], **settings}]}}}
    build(normed(tmp_path, groups, module=module, optimizer={"parts": {"other": {"lr": 0.1}}}))
    with pytest.raises(Refusal) as caught:
        build(normed(tmp_path, groups, module=module, optimizer=optimizer))
    (problem,) = caught.value.problems
    assert problem.key == "optimizer.parts.other.groups.0"
    assert "got parameters encoder, which fits no parameter that is trained" in problem.message
    assert problem.message.endswith('contains it: "decoder.0.weight, decoder.0.bias, decoder.1.weight, decoder.1.bias"')


def test_networks_of_the_modules_own_begin_with_their_attribute(tmp_path):
    source = """
from torch import nn
from firebox.modules.reconstruction import Reconstruction

class Own(Reconstruction):
    def __init__(self, model, specification):
        super().__init__(model, specification)
        self.critic = nn.Linear(3, 2)
    def parameters(self):
        return {"main": [*super().parameters()["main"], *self.critic.parameters()]}
"""
    (tmp_path / "module.py").write_text(source)
    configuration = normed(tmp_path, [{"parameters": ["critic"], "lr": 0.1}], module={"name": "module.py:Own"})
    groups = build(configuration).update.optimizers["main"].param_groups
    assert [tuple(parameter.shape) for parameter in groups[1]["params"]] == [(2, 3), (2,)]


def test_every_normalisation_of_torch_is_a_norm():
    from firebox.engine.training.weights.parameter_groups import _kinds

    layers = [nn.BatchNorm2d(2), nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm2d(2), nn.RMSNorm(2)]
    assert all(_kinds("weight", layer) == {"norm"} for layer in layers)
    assert _kinds("in_proj_bias", torch.nn.MultiheadAttention(4, 1)) == {"bias"}
    assert _kinds("weight", nn.Linear(2, 2)) == set()
    for name, is_norm in (
        ("BatchNormAct2d", True),
        ("GroupNormalization", True),
        ("Enormous", False),
        ("Normed", False),
    ):
        assert (_kinds("weight", type(name, (nn.Module,), {})()) == {"norm"}) == is_norm
