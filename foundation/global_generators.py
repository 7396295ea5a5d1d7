"""Python's ``random`` and numpy's global generator, as far as the iterations draw from them."""

from __future__ import annotations

import ctypes
import random

import numpy

WORDS = 624
"""Of 32 bits, that a Mersenne Twister's state has; both generators are one (Matsumoto and Nishimura, 1998)."""
TAIL = 16
"""Bytes at the end of a state that are looked at: they change with each draw, and with each seed."""


class GlobalGenerators:
    """Seeds both at each iteration from the first on that draws from them; until then it looks whether one has.

    To seed them takes 5 µs, to look a tenth of a microsecond. As long as no iteration has drawn, each begins with one
    and the same state; so the first that draws gets the same numbers wherever a run was resumed. ``used`` belongs into
    a checkpoint.

    Args:
        unused_seed: of the state that iterations begin with as long as none has drawn.
    """

    def __init__(self, unused_seed: int) -> None:
        self._unused_seed = unused_seed
        self._bit_generator = numpy.random.mtrand.get_bit_generator()  # held, because its memory is looked into
        python, numpys = _tail_of_python(), _tail_of_numpy(self._bit_generator)
        self.used = python is None or numpys is None
        """Whether an iteration has drawn, or can't be seen to."""
        nothing = (ctypes.c_char * TAIL)()
        self._python, self._numpy = python or nothing, numpys or nothing
        self._unused = (b"", b"")

    def begin(self, seed: int) -> None:
        """Called before an iteration draws, with its own seed."""
        if self.used:
            seed_python_and_numpy(seed)
        elif (self._python.raw, self._numpy.raw) != self._unused:  # by what came between the iterations
            seed_python_and_numpy(self._unused_seed)
            self._unused = (self._python.raw, self._numpy.raw)

    def end(self) -> None:
        """Called when an iteration has drawn all that it will."""
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
