"""The shorter way to a loss's gradient is the ordinary one, to the bit."""

import inspect

import pytest
import torch
from torch.autograd.graph import _engine_run_backward

from firebox.engine.training.updates.backward import backward


def gradients(differentiate, dtype=torch.float32, shape=()):
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)).to(dtype)
    called = []
    model[0].weight.register_hook(lambda gradient: called.append(gradient))
    for _ in range(2):
        differentiate(model(torch.randn(4, 5, dtype=dtype)).square().mean().view(shape), list(model[2].parameters()))
    return [*(parameter.grad for parameter in model.parameters()), *called]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_gradients_equal_those_of_the_tensors_own_method(dtype, shape):
    one = torch.ones(())
    own = gradients(lambda loss, _: loss.backward(), dtype, shape)
    assert all(map(torch.equal, own, gradients(lambda loss, _: backward(loss, one), dtype, shape)))
    assert len(own) == 6


def test_gradients_of_some_parameters_alone():
    one = torch.ones(())
    found = gradients(lambda loss, last: backward(loss, one, last))
    assert found[:2] == [None, None]
    assert all(map(torch.equal, found[2:], gradients(lambda loss, _: loss.backward())[2:4]))


def test_torch_still_takes_what_it_is_given():
    """Firebox relies on a private function of torch: what its own ``backward`` calls, with these arguments."""
    assert list(inspect.signature(_engine_run_backward).parameters) == ["t_outputs", "args", "kwargs"]
    call = inspect.getsource(torch.autograd.backward).partition("_engine_run_backward(")[2].partition(")\n")[0]
    arguments = [line.strip().rstrip(",").partition("#")[0].strip().rstrip(",") for line in call.strip().splitlines()]
    assert arguments[:5] == ["tensors", "grad_tensors_", "retain_graph", "create_graph", "inputs_tuple"]
    assert arguments[5:] == ["allow_unreachable=True", "accumulate_grad=True"]
