"""The division of samples into those to train on and those held out, of any number."""

import pickle

import pytest
import torch

from firebox.data.bases.datamodule import hold_out
from firebox.data.division.division import Division


@pytest.mark.parametrize("limit", [0, 1000])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.25])
def test_every_sample_is_in_one_split(limit, fraction):
    splits = [Division(997, fraction, 5, split, limit=limit) for split in ("train", "validation")[: 1 + (fraction > 0)]]
    found = torch.cat([split[torch.arange(len(split))] for split in splits])
    assert torch.equal(found.sort().values, torch.arange(997))
    assert len(splits[-1]) == (997 if not fraction else round(997 * fraction))
    copies = [pickle.loads(pickle.dumps(split)) for split in splits]
    assert torch.equal(torch.cat([split[torch.arange(len(split))] for split in copies]), found)


def test_few_samples_are_held_out_as_everywhere():
    kept, held_out = hold_out(100, 0.2, 3)
    assert torch.equal(Division(100, 0.2, 3, "train")[torch.arange(80)], kept)
    assert torch.equal(Division(100, 0.2, 3, "validation")[torch.arange(20)], held_out)


@pytest.mark.parametrize("limit", [0, 1000])
def test_the_draw_depends_on_its_seed_alone(limit):
    first, second, other = (Division(100, 0.2, seed, "validation", limit=limit)[torch.arange(20)] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first.sort().values, other.sort().values)
