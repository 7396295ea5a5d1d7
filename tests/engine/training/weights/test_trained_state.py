"""What is trained is restored, and computed with the run's own kernels."""

import torch

from firebox.engine.training.weights.elementwise import unfused
from firebox.engine.training.weights.trained_state import load_trained_state, trained_state
from firebox.engine.world.world import ALONE


def trained():
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    return model, {"main": optimizer}


def test_a_run_that_computes_each_element_by_itself_goes_on_so_from_the_checkpoint_of_another():
    model, optimizers = trained()
    model(torch.ones(1, 3)).sum().backward()
    optimizers["main"].step()
    state = trained_state(model, optimizers, ALONE, spreads=False)

    other, others = trained()
    unfused(others["main"])
    load_trained_state(other, others, state, spreads=False)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(others["main"].state[other.weight]["exp_avg"], optimizers["main"].state[model.weight]["exp_avg"])
    assert others["main"].param_groups[0]["fused"] is False
    assert optimizers["main"].param_groups[0]["fused"] is True
