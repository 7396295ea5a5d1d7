"""The optimizer's step without torch's profiling, and what it relies on in torch."""

import pytest
import torch
from torch.optim.optimizer import _use_grad_for_differentiable, register_optimizer_step_pre_hook

from firebox.engine.training.updates.optimizer_step import unmarked_step
from firebox.engine.training.updates.update import Update


def parameter_and_optimizer():
    parameter = torch.nn.Parameter(torch.ones(3))
    return parameter, torch.optim.Adam([parameter], lr=0.1, fused=True)


def test_a_step_without_the_profilers_mark_is_the_optimizers_own():
    results = []
    for step in (lambda optimizer: optimizer.step(), lambda optimizer: unmarked_step(optimizer)()):
        parameter, optimizer = parameter_and_optimizer()
        for _ in range(3):
            parameter.square().sum().backward()
            step(optimizer)
        results.append(parameter.detach().clone())
    assert torch.equal(*results)
    assert unmarked_step(optimizer) != optimizer.step


def test_hooks_of_an_optimizer_are_called():
    parameter, optimizer = parameter_and_optimizer()
    update = Update({"main": optimizer}, device=torch.device("cpu"))
    calls = []
    before = register_optimizer_step_pre_hook(lambda *_: calls.append("any optimizer's"))
    optimizer.register_step_post_hook(lambda *_: calls.append("its own"))
    update(parameter.square().sum())
    before.remove()
    update(parameter.square().sum())
    assert calls == ["any optimizer's", "its own", "its own"]


def test_torch_wraps_a_step_in_its_mark_and_in_hooks_and_in_nothing_else():
    _, optimizer = parameter_and_optimizer()
    wrapper = torch.optim.Adam.step
    assert wrapper.__code__.co_name == "wrapper"
    assert wrapper.__wrapped__.__qualname__ == wrapper.__qualname__ == "Adam.step"
    what_it_does = {
        *("record_function", "_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"),
        *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_step_code"),
    }
    how_it_says_so = {
        *("cast", "Optimizer", "__class__", "__name__", "torch", "autograd", "profiler"),
        *("chain", "values", "isinstance", "tuple", "len", "RuntimeError"),
    }
    assert set(wrapper.__code__.co_names) == what_it_does | how_it_says_so
    assert optimizer._optimizer_step_code.__code__.co_names == (), "the step's code is a mark that does nothing"


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "NAdam"])
def test_the_step_of_every_optimizer_is_unwrapped_until_something_hooks_into_it(name):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = getattr(torch.optim, name)([parameter], lr=0.1)
    assert unmarked_step(optimizer) != optimizer.step
    hook = optimizer.register_step_pre_hook(lambda *_: None)
    assert unmarked_step(optimizer) == optimizer.step
    hook.remove()
    assert unmarked_step(optimizer) != optimizer.step


def test_torch_wraps_a_step_in_the_mode_of_autograd_and_in_nothing_else():
    wrapper = torch.optim.Adam.step.__wrapped__
    assert wrapper.__code__.co_name == "_use_grad"
    assert wrapper.__wrapped__.__qualname__ == "Adam.step"
    what_it_does = {"defaults", "is_grad_enabled", "set_grad_enabled", "graph_break", "torch._dynamo", "_dynamo"}
    assert set(wrapper.__code__.co_names) == what_it_does | {"cast", "Optimizer"}
    assert wrapper.__code__.co_freevars == ("func",)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("differentiable", [True, False])
def test_a_step_has_the_mode_of_autograd_that_torch_gives_it_and_leaves_the_callers(differentiable, enabled):
    class Noting(torch.optim.SGD):
        @_use_grad_for_differentiable
        def step(self, closure=None):
            modes.append(torch.is_grad_enabled())

    modes = []
    optimizer = Noting([torch.nn.Parameter(torch.ones(3))], lr=0.1, differentiable=differentiable)
    with torch.set_grad_enabled(enabled):
        unmarked_step(optimizer)()
        optimizer.step()
        assert torch.is_grad_enabled() == enabled

    assert modes == [differentiable, differentiable]
