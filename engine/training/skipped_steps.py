"""Says that steps were left out because a loss or gradients were not finite."""

from __future__ import annotations

import logging

from firebox.engine.training.losses import LossRecord, Row
from firebox.engine.training.update import Update

logger = logging.getLogger("firebox")


class SkippedSteps:
    """Warns of iterations that took no step where the training goes on all the same: at the 1st, 2nd, 4th, 8th ... one.

    Args:
        update: that leaves them out.
        losses: that are read together with their number.
    """

    def __init__(self, update: Update, losses: LossRecord) -> None:
        self._update = update
        self._losses = losses
        self._next = 1
        losses.subscribe(self._look)

    def _look(self, rows: list[Row]) -> None:
        skipped = self._losses.skipped
        if skipped < self._next or self._update.holds:
            return
        self._next = 1 << skipped.bit_length()
        logger.warning(
            "%d of the iterations down to %d took no step: their loss or their gradients are not finite; the handler "
            "terminate_on_nan, which is left out, stops a run at the first",
            skipped,
            rows[-1].iteration,
        )
