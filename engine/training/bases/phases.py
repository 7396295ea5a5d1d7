"""The order in which handlers act."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """The order in which handlers act at the end of an iteration; a checkpoint always sees what came before it."""

    STEP = 0
    EVALUATE = 1
    SCHEDULE = 2
    LOG = 3
    DUMP = 4
    CHECKPOINT = 5
