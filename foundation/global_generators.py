"""Seeds Python's ``random`` and numpy's global generator once iterations draw from them."""

from __future__ import annotations

import ctypes
import random

import numpy

WORDS = 624
"""32-bit words in the state of a Mersenne Twister (Matsumoto and Nishimura, 1998), which both generators are."""
TAIL = 16
"""Bytes at the end of a state that are compared: they change with each draw and with each seed."""


class GlobalGenerators:
    """Seeds both generators at each iteration, starting with the first one that draws from them.

    Seeding takes 5 µs; checking whether an iteration has drawn takes 0.1 µs. Until one has, every iteration begins with
    the same state, so that the first one to draw gets the same numbers wherever the run was resumed. ``used`` belongs
    in a checkpoint.

    Args:
        unused_seed: seed of the state that iterations begin with until one has drawn.
    """

    def __init__(self, unused_seed: int) -> None:
        self._unused_seed = unused_seed
        self._bit_generator = numpy.random.mtrand.get_bit_generator()  # kept alive, because its memory is read
        python, numpys = _tail_of_python(), _tail_of_numpy(self._bit_generator)
        self.used = python is None or numpys is None
        """Whether an iteration has drawn, or this can't be determined."""
        nothing = (ctypes.c_char * TAIL)()
        self._python, self._numpy = python or nothing, numpys or nothing
        self._unused = (b"", b"")

    def begin(self, seed: int) -> None:
        """Seeds the generators at the start of an iteration, with the iteration's seed, if they are used."""
        if self.used:
            seed_python_and_numpy(seed)
        elif (self._python.raw, self._numpy.raw) != self._unused:  # by what came between the iterations
            seed_python_and_numpy(self._unused_seed)
            self._unused = (self._python.raw, self._numpy.raw)

    def end(self) -> None:
        """Notes at the end of an iteration whether it has drawn."""
        if not self.used and (self._python.raw, self._numpy.raw) != self._unused:
            self.used = True


def seed_python_and_numpy(seed: int) -> None:
    """Seeds Python's ``random`` and numpy's global generator."""
    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))


def _tail_of_python() -> ctypes.Array[ctypes.c_char] | None:
    """Returns the memory of the last words of the state of Python's ``random``; None if it is not where CPython has it.

    ``random.getstate`` copies the whole, which takes longer than seeding does.
    """
    generator: random.Random = random._inst
    address = id(generator) + object.__basicsize__
    if type(generator).__basicsize__ < object.__basicsize__ + 4 * (1 + WORDS):
        return None
    found = (ctypes.c_uint32 * (1 + WORDS)).from_address(address)
    *words, index = generator.getstate()[1]
    if list(found) != [index, *words]:
        return None
    # The index comes first in memory, and moves with each draw; the words after it are new with each seed.
    return (ctypes.c_char * TAIL).from_address(address)


def _tail_of_numpy(generator: object) -> ctypes.Array[ctypes.c_char] | None:
    """Returns the memory of the last words of numpy's global state; None if that is of another kind."""
    if not isinstance(generator, numpy.random.MT19937):
        return None
    # numpy documents the address for use by ctypes; the position comes after the words.
    return (ctypes.c_char * TAIL).from_address(generator.ctypes.state_address + 4 * (WORDS + 1) - TAIL)
