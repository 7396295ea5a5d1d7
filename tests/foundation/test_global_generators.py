"""Python's and numpy's generators are seeded where iterations draw from them, and cost next to nothing where not."""

import random

import numpy
import pytest
import torch

from firebox.foundation.global_generators import GlobalGenerators
from firebox.foundation.randomness import IterationSeeder

DRAWS = {
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "shuffle": lambda: random.sample(range(9), 9),
    "numpy": numpy.random.rand,
    "numpy normal": numpy.random.randn,
    "beta": lambda: numpy.random.beta(0.2, 0.2),
}


def drawn(first, last, draw, *, begins, used=False, between=None):
    """Makes iterations, those from ``begins`` on with draws; returns what they drew and whether any has."""
    generators = GlobalGenerators(99)
    generators.used = used
    found = {}
    for iteration in range(first, last + 1):
        if between is not None:
            between()
        generators.begin(1000 + iteration)
        if iteration >= begins:
            found[iteration] = [draw() for _ in range(3)]
        generators.end()
    return found, generators.used


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("between", [None, *DRAWS.values(), lambda: random.seed(4)])
def test_an_iteration_draws_the_same_wherever_the_run_was_resumed(draw, between):
    whole, _ = drawn(1, 12, draw, begins=6)
    assert len({str(draws) for draws in whole.values()}) == len(whole)
    for resumed in (2, 6, 7, 12):
        _, used = drawn(1, resumed - 1, draw, begins=6)
        assert used is (resumed > 6)
        again, _ = drawn(resumed, 12, draw, begins=6, used=used, between=between)
        assert again == {iteration: draws for iteration, draws in whole.items() if iteration >= resumed}


def test_what_is_drawn_between_iterations_is_not_taken_for_theirs():
    assert drawn(1, 5, random.random, begins=9, between=random.random) == ({}, False)


def test_a_state_that_can_not_be_looked_at_is_seeded_always():
    generator = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(numpy.random.PCG64(1))
    try:
        assert GlobalGenerators(99).used
    finally:
        numpy.random.set_bit_generator(generator)
    assert not GlobalGenerators(99).used


def test_mps_is_seeded_with_the_cpu():
    assert IterationSeeder(3, torch.device("mps"))._torch[1:] == [torch.mps.manual_seed]
