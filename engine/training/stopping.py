"""Stopping on a signal: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
from types import FrameType

from firebox.foundation.exit_codes import INTERRUPTED, TERMINATED

EXIT_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED, signal.SIGUSR1: TERMINATED}
"""SIGUSR1 is what Slurm's ``--signal`` sends ahead of the end; it asks for the same as SIGTERM."""


class StopRequest:
    """Remembers that a signal asked the run to stop. A second signal leaves at once.

    ``requested`` is a plain attribute: it is read at every iteration and every evaluation batch.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal: signal.Signals | None = None

    def listen(self) -> None:
        """Takes over SIGINT, SIGTERM and SIGUSR1. Main thread only."""
        for number in EXIT_CODES:
            signal.signal(number, self._received)

    @property
    def exit_code(self) -> int:
        assert self.signal is not None
        return EXIT_CODES[self.signal]

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(EXIT_CODES[signal.Signals(number)])
        self.requested = True
        self.signal = signal.Signals(number)
