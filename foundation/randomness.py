"""Randomness is addressed, not consumed.

Every random decision of a run is a function of the run's seed and of *where* it is made (epoch, iteration, sample),
never of what was drawn before it. So iteration N can be reproduced by itself, whatever ran before or beside it.

The mixing function is BLAKE2b (RFC 7693) with a digest of 64 bits, over the words of the address, each with its type,
separated by NUL: two different addresses share a seed with a probability of 2**-64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy
import torch
from numpy.typing import NDArray

from firebox.foundation.global_generators import GlobalGenerators, seed_python_and_numpy

GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples are far apart."""
Words = NDArray[numpy.int64]
Word = TypeVar("Word", torch.Tensor, Words)
PERMUTATION_LIMIT = 1 << 24
"""Number of samples above which the order of an epoch is computed by position instead of held in memory."""


def mix(*address: int | str) -> int:
    """Returns the 64-bit seed of an address such as ``(seed, "iteration", 12, rank)``: a pure function of it."""
    return _digest(_text(*address))


def _text(*address: int | str) -> str:
    return "\x00".join([f"{type(word).__name__}{word}" for word in address])


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


class IterationSeeder:
    """Seeds all global generators from (seed, iteration, shard) at the start of each iteration, or of a shard in it.

    The generator objects of torch are seeded directly: ``torch.manual_seed`` would also visit every other backend, at
    about fifty times the cost. Python's and numpy's generators are seeded if iterations draw from them.

    Args:
        seed: seed of the run.
        device: device that the run trains on; the generator of a CUDA device or of MPS is seeded with the CPU's.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed = seed
        self._prefix = _text(seed, "iteration", 0, 0).removesuffix("0")
        self.others = GlobalGenerators(mix(seed, "no iteration", 0))
        """Python's and numpy's global generators."""
        self._torch: list[Callable[[int], object]] = [torch.default_generator.manual_seed]
        if device.type == "cuda":
            torch.cuda.init()
            self._torch.append(torch.cuda.default_generators[device.index or 0].manual_seed)
        elif device.type == "mps":
            self._torch.append(torch.mps.manual_seed)

    def __call__(self, iteration: int) -> None:
        self._begin(_digest(f"{self._prefix}{iteration}"))

    def shard(self, iteration: int, shard: int, meetings: int) -> None:
        """Seeds the generators for a shard of an iteration's batch.

        Args:
            iteration: the iteration, starting at 1.
            shard: the shard, counted from 0, whichever process takes it.
            meetings: how often the shards have met in the iteration, such as in an update; each is seeded anew then.
        """
        self.others.used = True  # whether a shard of another process has drawn is not known here
        self._begin(mix(self.seed, "iteration", shard, iteration, *((meetings,) if meetings else ())))

    def _begin(self, seed: int) -> None:
        for seed_torch in self._torch:
            seed_torch(seed)
        self.others.begin(seed)


def seed_everything(seed: int) -> None:
    """Seeds torch on all devices, Python's ``random`` and numpy, for draws outside of the iterations: model
    initialisation, evaluations, handlers."""
    torch.manual_seed(seed)
    seed_sample(seed)


def seed_sample(seed: int) -> None:
    """Seeds torch on the CPU, Python's ``random`` and numpy before a sample is read, at a tenth of the cost."""
    torch.default_generator.manual_seed(seed)
    seed_python_and_numpy(seed)


def generator(*address: int | str) -> torch.Generator:
    """Returns a new CPU generator seeded by an address; drawing from it affects no other generator."""
    return torch.Generator().manual_seed(mix(*address))


class EpochOrder:
    """The order of ``length`` samples in an epoch, a function of (seed, epoch).

    Up to ``limit`` samples, a permutation is held in memory, one epoch at a time. Above it, each position is computed
    by a format-preserving permutation in O(1) memory and time: a balanced Feistel network over the next even power of
    two, walked until it falls into the range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
    """

    def __init__(self, length: int, seed: int, *, shuffle: bool = True, limit: int = PERMUTATION_LIMIT) -> None:
        self.length = length
        self._seed = seed
        self._shuffle = shuffle
        self._held = length <= limit
        self._epoch: int | None = None
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, epoch: int, start: int, stop: int) -> torch.Tensor:
        """Returns the samples at positions ``start`` to ``stop`` (exclusive) of an epoch, int64, (stop - start,)."""
        if not self._shuffle:
            return torch.arange(start, stop)
        if self._held:
            if epoch != self._epoch:
                order = generator(self._seed, "order", epoch)
                self._permutation = torch.randperm(self.length, generator=order)
                self._epoch = epoch
            return self._permutation[start:stop]
        return feistel_permutation(torch.arange(start, stop), self.length, mix(self._seed, "order", epoch))


def feistel_permutation(positions: torch.Tensor, length: int, key: int, *, rounds: int = 8) -> torch.Tensor:
    """Maps positions in [0, length) to indices in [0, length), one to one.

    Args:
        positions: int64 of shape (n,).
        length: size of the domain, at most 2**62.
        key: key that selects the permutation.
        rounds: number of Feistel rounds, each of which mixes one half with a keyed 64-bit multiply-xorshift, the
            finaliser of splitmix64.
    """
    half_bits = max(1, ((length - 1).bit_length() + 1) // 2)
    round_keys = [_signed(mix(key, "round", number)) for number in range(rounds)]
    result = _encrypted(positions, half_bits, round_keys)
    outside = (result >= length).nonzero().flatten()
    while outside.numel():
        walked = _encrypted(result[outside], half_bits, round_keys)
        result[outside] = walked
        outside = outside[walked >= length]
    return result


def feistel_permutations(positions: Words, lengths: Words, keys: Words, *, rounds: int = 8) -> Words:
    """Maps each position in [0, length) to an index in [0, length), by a permutation of its own.

    In NumPy, whose threads do not compete with the training for the cores as torch's would.

    Args:
        positions: int64 of shape (n,).
        lengths: size of each position's domain, int64 (n,), at most 2**53.
        keys: key that selects each position's permutation, int64 (n,).
        rounds: number of rounds, as in ``feistel_permutation``.
    """
    half_bits = numpy.maximum((numpy.frexp(lengths - 1.0)[1].astype(numpy.int64) + 1) >> 1, 1)
    round_keys = [scramble(keys + _signed(number * GOLDEN % (1 << 64))) for number in range(rounds)]
    result: Words = _encrypted(positions, half_bits, round_keys)
    outside = numpy.flatnonzero(result >= lengths)
    while len(outside):
        own = [round_key[outside] for round_key in round_keys]
        walked = _encrypted(result[outside], half_bits[outside], own)
        result[outside] = walked
        outside = outside[walked >= lengths[outside]]
    return result


def _encrypted(block: Word, half_bits: int | Word, round_keys: Sequence[int | Word]) -> Word:
    half_mask = (1 << half_bits) - 1
    left, right = block >> half_bits, block & half_mask
    for round_key in round_keys:
        left, right = right, left ^ (scramble(right + round_key) & half_mask)
    return (left << half_bits) | right


def scramble(words: Word) -> Word:
    """Mixes int64 words of any shape, one to one: splitmix64's finaliser; products wrap around, shifts are logical."""
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ ((words >> shift) & ((1 << (64 - shift)) - 1))) * _signed(multiplier)
    return words ^ ((words >> 31) & ((1 << 33) - 1))


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word
