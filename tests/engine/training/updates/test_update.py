"""How parameters are updated where a module owns several optimizers."""

import math

import pytest
import torch

from firebox.engine.training.updates.update import MOST_PENDING, Update


def two_optimizers():
    parameters = {name: torch.nn.Parameter(torch.ones(2)) for name in ("generator", "critic")}
    optimizers = {name: torch.optim.SGD([parameter], lr=1.0, fused=True) for name, parameter in parameters.items()}
    return parameters, Update(optimizers, device=torch.device("cpu"))


def test_a_losss_gradient_is_for_its_own_optimizer_alone():
    parameters, update = two_optimizers()
    update((parameters["generator"] * parameters["critic"]).sum(), "generator")
    assert parameters["critic"].grad is None
    update(parameters["critic"].sum() * 0.25, "critic")
    assert torch.equal(parameters["generator"], torch.zeros(2))
    assert torch.equal(parameters["critic"], torch.full((2,), 0.75))


def test_an_iteration_that_is_not_finite_takes_no_further_step_of_any_optimizer_and_the_next_does():
    parameters, update = two_optimizers()
    update(parameters["generator"].sum() * math.nan, "generator")
    update(parameters["critic"].sum(), "critic")
    assert all(torch.equal(parameter, torch.ones(2)) for parameter in parameters.values())
    assert update.non_finite.item() == 1
    update.begin(1)
    update(parameters["critic"].sum(), "critic")
    assert torch.equal(parameters["critic"], torch.zeros(2))
    assert update.non_finite.item() == 0


def test_whether_iterations_were_finite_is_known_until_as_many_losses_are_pending_as_there_may_be():
    update = two_optimizers()[1]
    flags = []
    for iteration in range(1, 3 * MOST_PENDING):
        update.begin(iteration)
        if iteration % 7 == 0:
            update._watch([torch.tensor(math.nan)])
        flags.append(update.non_finite)
        for earlier in (iteration, iteration - MOST_PENDING + 1):
            if earlier > 0 and iteration % 50 == 0:
                assert flags[earlier - 1].item() == (earlier % 7 == 0)


def test_a_loss_that_another_is_weighted_by_can_still_be_differentiated():
    parameters, update = two_optimizers()
    first = parameters["generator"].sum()
    second = (parameters["critic"] * first.detach()).sum()
    update(first, "generator")
    update(second, "critic")
    assert torch.equal(parameters["critic"], torch.full((2,), -1.0))


def test_what_is_watched_stays_as_it_is_to_the_bit():
    update = two_optimizers()[1]
    values = torch.tensor([-0.0, 1e-42, 3.4e38, math.pi])
    watched = values.clone()
    update._watch([watched])
    assert torch.equal(watched.view(torch.int32), values.view(torch.int32))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0])
def test_sparse_and_complex_gradients_are_watched_too(value):
    for tensor in (torch.full((2, 2), value).to_sparse(), torch.full((2,), value, dtype=torch.complex64)):
        update = two_optimizers()[1]
        update._watch([tensor, torch.ones(())])
        assert update.non_finite.item() == (0 if math.isfinite(value) else 1)


def test_autocast_serves_no_weights_from_before_an_update():
    critic = torch.nn.Linear(4, 1, bias=False)
    update = Update({"critic": torch.optim.SGD(critic.parameters(), lr=1.0, fused=True)}, device=torch.device("cpu"))
    images = torch.ones(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        update(critic(images).float().sum(), "critic")
        after = critic(images)
    expected = torch.nn.functional.linear(images.bfloat16(), critic.weight.bfloat16())
    assert torch.equal(after, expected)


def test_autocast_would_serve_them_without_the_update_of_its_cache(monkeypatch):
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: None)
    with pytest.raises(AssertionError):
        test_autocast_serves_no_weights_from_before_an_update()


def scaled(growth_interval=1):
    parameters = {name: torch.nn.Parameter(torch.ones(2)) for name in ("generator", "critic")}
    optimizers = {name: torch.optim.SGD([parameter], lr=1.0) for name, parameter in parameters.items()}
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=growth_interval)
    norms = {"critic": 1e9}
    return parameters, Update(optimizers, device=torch.device("cpu"), scaler=scaler, gradient_clip_norms=norms)


def test_the_loss_scale_changes_once_an_iteration_whatever_the_number_of_steps():
    parameters, update = scaled()
    for _ in range(3):
        update(parameters["critic"].sum() * 0.25, "critic")
        update(parameters["generator"].sum() * 0.25, "generator")
    assert update.scaler.get_scale() == 4.0
    update.end()
    assert update.scaler.get_scale() == 8.0
    update.end()  # an iteration without a step
    assert update.scaler.get_scale() == 8.0
    assert all(torch.equal(parameter, torch.full((2,), 0.25)) for parameter in parameters.values())


@pytest.mark.parametrize("overflowing", ["generator", "critic"])
def test_an_overflow_in_any_step_of_an_iteration_lowers_the_scale_and_skips_that_step(overflowing):
    parameters, update = scaled()
    update((parameters[overflowing] * math.inf).sum(), overflowing)
    for name, parameter in parameters.items():
        update(parameter.sum() * 0.25, name)
    update.end()
    assert update.scaler.get_scale() == 2.0
    assert all(torch.equal(parameter, torch.full((2,), 0.75)) for parameter in parameters.values())


def test_a_loss_in_parts_is_stepped_with_their_sum():
    parameters, update = two_optimizers()
    update(parameters["critic"].sum() * 0.25, "critic", step=False)
    assert torch.equal(parameters["critic"], torch.ones(2))
    update(parameters["critic"].square().sum() * 0.25, "critic")
    assert torch.equal(parameters["critic"], torch.full((2,), 0.25))
    assert parameters["critic"].grad is None


def test_an_optimizer_that_was_frozen_meanwhile_has_no_loss_reach_the_others():
    parameters, update = two_optimizers()
    parameters["critic"].requires_grad_(False)
    update((parameters["generator"] * parameters["critic"]).sum(), "critic")
    assert all(parameter.grad is None for parameter in parameters.values())


def test_a_network_that_no_optimizer_has_is_given_no_gradients():
    parameter, fixed = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizers = {"main": torch.optim.SGD([parameter], lr=1.0, fused=True)}
    update = Update(optimizers, device=torch.device("cpu"), all_parameters=False)
    update((parameter * fixed).sum())
    assert fixed.grad is None
    assert torch.equal(parameter, torch.zeros(2))
