"""Warnings of steps that were skipped because a loss or a gradient was not finite."""

from __future__ import annotations

import logging

from firebox.engine.training.updates.losses import LossRecord, Row

logger = logging.getLogger("firebox")


class SkippedSteps:
    """Warns of iterations that took no step while training goes on: at the 1st, 2nd, 4th, 8th ... such iteration.

    Args:
        losses: record of the losses, subscribed to after the handlers, one of which may stop the run.
    """

    def __init__(self, losses: LossRecord) -> None:
        self._count = 0
        losses.subscribe(self._look)

    def _look(self, rows: list[Row]) -> None:
        for row in rows:
            if not row.finite:
                self._count += 1
                if self._count & (self._count - 1) == 0:
                    logger.warning(
                        "iteration %d took no step, %d so far: its loss or its gradients are not finite; the handler "
                        "terminate_on_nan, which is left out, stops a run there",
                        row.iteration,
                        self._count,
                    )
