"""What a user froze stays frozen, whatever is evaluated."""

from contextlib import suppress

import pytest
from torch import nn

from firebox.engine.training.steps.modes import evaluation_mode
from tests.handlers.runs import configured, trained

OWN = """
from torch import nn

class Frozen(nn.Module):
    def __init__(self, input_shape, *, latent_dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
        self.layers[0].eval()
        self.layers[0].weight.requires_grad_(False)

    def forward(self, images):
        return self.layers(images)
"""


@pytest.mark.parametrize("averaged", [{}, {"ema": {}}])
def test_batch_normalisation_that_a_user_froze_stays_frozen(tmp_path, averaged):
    (tmp_path / "own.py").write_text(OWN)
    handlers = {"evaluation": {}, "image_dump": {"count": 2}, "model_summary": {}, **averaged}
    run = trained(configured(tmp_path, handlers, model={"name": "own.py:Frozen"}))
    first, _, last = run.model.layers
    assert run.metrics
    assert not first.training
    assert last.training
    assert first.running_mean.item() == 0
    assert last.running_mean.item() != 0
    assert first.weight.item() == 1
    assert not first.weight.requires_grad


def test_each_part_is_given_back_its_own_mode_even_where_the_block_fails():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout()))
    model[1].eval()
    before = [part.training for part in model.modules()]
    with suppress(RuntimeError), evaluation_mode(model):
        assert not any(part.training for part in model.modules())
        raise RuntimeError
    assert [part.training for part in model.modules()] == before
