"""Intervals at which handlers act, such as ``1 epoch`` or ``100 iterations``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

_PATTERN = r"^([1-9][0-9]{0,17}) (epochs?|iterations?)$"

Interval = Annotated[str, Field(pattern=_PATTERN, title="a number and a unit, such as 1 epoch or 100 iterations")]
"""The type of a parameter that is an interval."""


def iterations(interval: str, epoch_length: int) -> int:
    """Returns an interval in iterations.

    Args:
        interval: text such as ``1 epoch`` or ``100 iterations``.
        epoch_length: iterations in an epoch.

    Raises:
        ValueError: the text is not an interval.
    """
    match = re.match(_PATTERN, interval)
    if match is None:
        raise ValueError(f'got "{interval}", expected a number and a unit, such as "1 epoch" or "100 iterations"')
    return int(match[1]) * (epoch_length if match[2].startswith("epoch") else 1)
