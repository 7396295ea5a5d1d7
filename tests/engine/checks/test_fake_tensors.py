"""Fake tensors as a rehearsal needs them."""

import torch

from firebox.engine.checks.fake_tensors import fake_tensor_mode


class Scaled(torch.nn.Module):
    """A network with a number as a parameter and one as a buffer, such as a temperature."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.register_buffer("offset", torch.tensor(2.0))

    def forward(self, x):
        return x * self.scale + self.offset


def test_a_parameter_made_of_a_number_can_be_moved():
    with fake_tensor_mode():
        network = Scaled().to("cpu").to(memory_format=torch.channels_last)
        assert network(torch.ones(2)).shape == (2,)


def test_a_constant_that_is_written_to_is_none_any_more():
    with fake_tensor_mode():
        value = torch.tensor(3)
        other = value.view(())
        assert value.item() == 3
        value.add_(1)
        assert value.item() == other.item() == 4
