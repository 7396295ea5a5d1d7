"""How often a handler acts: ``1 epoch``, ``100 iterations``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

_PATTERN = r"^([1-9][0-9]{0,17}) (epochs?|iterations?)$"

Interval = Annotated[str, Field(pattern=_PATTERN, title="a number and a unit, such as 1 epoch or 100 iterations")]
"""The type of a parameter that says how often."""


def iterations(interval: str, epoch_length: int) -> int:
    """Returns an interval in iterations.

    Args:
        interval: such as ``1 epoch`` or ``100 iterations``.
        epoch_length: iterations in an epoch.

    Raises:
        ValueError: the text is no interval.
    """
    match = re.match(_PATTERN, interval)
    if match is None:
        raise ValueError(f'got "{interval}", expected a number and a unit, such as "1 epoch" or "100 iterations"')
    return int(match[1]) * (epoch_length if match[2].startswith("epoch") else 1)
