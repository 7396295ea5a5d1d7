"""Randomness is a function of its address."""

import random
import subprocess
import sys

import numpy
import pytest
import torch

from firebox.foundation.randomness import (
    EpochOrder,
    IterationSeeder,
    feistel_permutation,
    feistel_permutations,
    generator,
    mix,
    scramble,
)


def test_mix_is_the_same_in_every_process_and_version():
    assert mix(7, "iteration", 0, 12) == 4141097104739553253
    script = "from firebox.foundation.randomness import mix; print(mix(7, 'iteration', 0, 12))"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(printed) == mix(7, "iteration", 0, 12)


def test_addresses_do_not_run_into_each_other():
    addresses = [(1, 23), (12, 3), (123,), ("1", 23), (1, "23"), ("12", "3"), (1, 2, 3), (-1, 23)]
    assert len({mix(*address) for address in addresses}) == len(addresses)


def test_many_neighbouring_addresses_have_different_seeds():
    seeds = {mix(seed, "iteration", iteration) for seed in range(10) for iteration in range(10_000)}
    assert len(seeds) == 100_000


def test_an_iteration_draws_the_same_whatever_was_drawn_before():
    seeder = IterationSeeder(3, torch.device("cpu"))
    seeder(5)
    first = torch.rand(4)
    torch.rand(1000)
    seeder(6)
    other = torch.rand(4)
    seeder(5)
    assert torch.equal(torch.rand(4), first)
    assert not torch.equal(other, first)


def test_an_iterations_seed_is_its_address_mixed():
    for seed, iteration in [(3, 5), (11, 10**12)]:
        seeder = IterationSeeder(seed, torch.device("cpu"))
        seeder(iteration)
        assert torch.initial_seed() == mix(seed, "iteration", 0, iteration)
        seeder.shard(iteration, 2, 0)
        assert torch.initial_seed() == mix(seed, "iteration", 2, iteration)


def test_shards_draw_differently_and_anew_after_each_update():
    seeder, draws = IterationSeeder(3, torch.device("cpu")), []
    for shard, updates in [(0, 0), (1, 0), (2, 0), (0, 1)]:
        seeder.shard(1, shard, updates)
        draws.append((tuple(torch.rand(2).tolist()), random.random()))
    assert len({torch_draw for torch_draw, _ in draws}) == len({python_draw for _, python_draw in draws}) == 4


def test_a_generator_by_address_leaves_the_global_one_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(5, generator=generator(1, "x"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("limit", [0, 1 << 24], ids=["computed", "held"])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 64, 1000, 5400])
def test_an_epochs_order_is_a_bijection(length, limit):
    order = EpochOrder(length, 7, limit=limit)
    for epoch in range(3):
        assert torch.equal(order.indices(epoch, 0, length).sort().values, torch.arange(length))


@pytest.mark.parametrize("limit", [0, 1 << 24], ids=["computed", "held"])
def test_any_part_of_an_order_can_be_asked_for_by_itself(limit):
    whole = EpochOrder(1000, 7, limit=limit).indices(4, 0, 1000)
    for start, stop in [(0, 1), (990, 1000), (500, 628)]:
        assert torch.equal(EpochOrder(1000, 7, limit=limit).indices(4, start, stop), whole[start:stop])


@pytest.mark.parametrize("limit", [0, 1 << 24], ids=["computed", "held"])
def test_epochs_and_seeds_have_orders_of_their_own(limit):
    orders = [EpochOrder(500, seed, limit=limit).indices(epoch, 0, 500) for seed in (1, 2) for epoch in (0, 1)]
    for number, order in enumerate(orders):
        assert all((order == other).float().mean() < 0.05 for other in orders[:number])


def test_without_shuffling_the_order_is_the_samples_own():
    assert torch.equal(EpochOrder(10, 7, shuffle=False).indices(3, 2, 5), torch.tensor([2, 3, 4]))


def test_permutations_of_domains_of_their_own_are_bijections():
    lengths = [1, 2, 3, 4, 5, 16, 17, 1000]
    for key in range(20):
        found = feistel_permutations(
            numpy.concatenate([numpy.arange(length) for length in lengths]),
            numpy.repeat(lengths, lengths),
            numpy.repeat(scramble(numpy.arange(len(lengths)) + 100 * key), lengths),
        )
        for length, own in zip(lengths, numpy.split(found, numpy.cumsum(lengths)[:-1]), strict=True):
            assert sorted(own.tolist()) == list(range(length))


def test_permutations_of_keys_of_their_own_are_all_equally_frequent():
    """The 6 orders of 3, and each of 10 at the first place of 10."""
    keys = scramble(numpy.arange(6000))
    orders = [feistel_permutations(numpy.full(6000, k), numpy.full(6000, 3), keys) for k in range(3)]
    counts = numpy.unique(orders[0] * 9 + orders[1] * 3 + orders[2], return_counts=True)[1]
    assert len(counts) == 6 and abs(counts - 1000).max() < 150
    first = feistel_permutations(numpy.zeros(6000, numpy.int64), numpy.full(6000, 10), keys)
    assert abs(numpy.bincount(first, minlength=10) - 600).max() < 100


@pytest.mark.parametrize("length", [2**20 - 3, 2**20, 2**20 + 1])
def test_the_computed_permutation_is_a_bijection_on_a_large_domain(length):
    seen = torch.zeros(length, dtype=torch.bool)
    seen[feistel_permutation(torch.arange(length), length, 99)] = True
    assert seen.all()


def test_the_computed_permutation_reaches_any_position_of_a_huge_domain():
    length = 10**15
    positions = torch.tensor([0, 1, length // 2, length - 1])
    indices = feistel_permutation(positions, length, 5)
    assert indices.unique().numel() == 4
    assert ((indices >= 0) & (indices < length)).all()
    assert torch.equal(feistel_permutation(positions[2:3], length, 5), indices[2:3])


def test_the_computed_permutation_looks_random():
    length = 100_000
    order = feistel_permutation(torch.arange(length), length, 11).double()
    neighbours = torch.corrcoef(torch.stack([order[:-1], order[1:]]))[0, 1]
    position = torch.corrcoef(torch.stack([torch.arange(length).double(), order]))[0, 1]
    # Each correlation of a random permutation has a standard deviation of about 1 / sqrt(length) = 0.003.
    assert abs(neighbours) < 0.015
    assert abs(position) < 0.015
