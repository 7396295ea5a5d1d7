"""model_summary.txt."""

import torch
from torch import nn

from firebox.handlers.model_summary import trace
from tests.handlers.runs import begun, configured, ended


class Residual(nn.Module):
    """A layer called twice, a parameter of its own, and statistics that a forward pass in training mode changes."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout()
        self.unused = nn.Linear(2, 2)

    def forward(self, images):
        once = self.convolution(images) * self.scale.view(1, 3, 1, 1)
        return self.dropout(self.normalisation(self.convolution(once))) + torch.randn_like(images)


def test_the_file_has_layers_shapes_and_counts(tmp_path):
    run = begun(configured(tmp_path, {"model_summary": {}}))
    text = run.directory.model_summary.read_text()
    lines = [line.split() for line in text.splitlines()]

    assert ["encoder.1", "Linear", "4", "260"] in lines
    assert ["decoder.1", "Unflatten", "1×8×8"] in lines
    assert "input          1×8×8, pixels [0,1]\n" in text
    assert "parameters     580, trainable 580\n" in text
    assert "weights        0.00 MiB\n" in text
    ended(run)


def test_frozen_parameters_are_not_counted_as_trainable(tmp_path):
    from firebox.handlers.model_summary import summary

    run = begun(configured(tmp_path, {}))
    run.model.encoder.requires_grad_(False)
    assert "parameters     580, trainable 320\n" in summary(run)
    ended(run)


def test_looking_changes_nothing_in_the_model_or_the_generators():
    model = Residual()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    layers, failure = trace(model, torch.zeros(1, 3, 5, 5))

    assert failure is None
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(part.training and not part._forward_hooks for part in model.modules())
    assert [(layer.name, layer.parameters, layer.shapes) for layer in layers] == [
        ("(model)", 3, ((3, 5, 5),) if layers[0].shapes else ()),
        ("convolution", 84, ((3, 5, 5), (3, 5, 5))),
        ("normalisation", 6, ((3, 5, 5),)),
        ("dropout", 0, ((3, 5, 5),)),
        ("unused", 6, ()),
    ]


def test_a_model_that_can_not_be_called_with_images_is_summed_up_all_the_same():
    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

    layers, failure = trace(Generator(), torch.zeros(1, 1, 4, 4))

    assert [(layer.name, layer.parameters) for layer in layers] == [("layer", 9)]
    assert failure.startswith("NotImplementedError")
