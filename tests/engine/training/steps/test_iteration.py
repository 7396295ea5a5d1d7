"""What an iteration draws at random, from whatever generator, is its own."""

import math

import pytest
import torch

from firebox.foundation.global_generators import GlobalGenerators
from tests.handlers.runs import configured, rows_of, stopped, trained

MIXUP = """
import random
import numpy
from firebox.modules.reconstruction import Reconstruction

class Mixup(Reconstruction):
    def training_step(self, batch, update):
        images = batch.images
        if update.iteration >= {first}:
            share = numpy.random.beta(0.4, 0.4) * random.random()
            images = share * images + (1 - share) * images.flip(0)
        loss = self.loss.mean(self.model(images), images)
        update(loss)
        return {{"loss": loss.detach()}}
"""
HANDLERS = {"loss_log": {}, "checkpoint": {"every": "5 iterations"}, "evaluation": {"every": "4 iterations"}}


def run_of(folder, first, *, stop=None):
    folder.mkdir()
    (folder / "mixup.py").write_text(MIXUP.format(first=first))
    configuration = configured(folder, HANDLERS, module={"name": "mixup.py:Mixup"})
    if stop is not None:
        stopped(configuration, stop)
    return trained(configuration)


@pytest.mark.parametrize(("first", "stop"), [(1, 7), (8, 6), (8, 8), (8, 13)])
def test_mixup_by_python_and_numpy_resumes_exactly(tmp_path, first, stop):
    whole, resumed = run_of(tmp_path / "whole", first), run_of(tmp_path / "resumed", first, stop=stop)
    assert resumed.resumed_at == stop
    assert rows_of(whole) == rows_of(resumed)
    assert all(map(torch.equal, whole.model.state_dict().values(), resumed.model.state_dict().values()))


def test_without_seeding_them_it_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(GlobalGenerators, "begin", lambda self, seed: None)
    whole, resumed = run_of(tmp_path / "whole", 1), run_of(tmp_path / "resumed", 1, stop=7)
    assert all(math.isfinite(row["loss"]) for row in rows_of(resumed))
    assert rows_of(whole) != rows_of(resumed)
