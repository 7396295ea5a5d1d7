"""The exit codes of every trainer script, command and experiment."""

from __future__ import annotations

import signal

COMPLETED = 0
FAILED = 1
"""The command started but could not finish."""
REFUSED = 2
"""The command did not start, and left nothing behind."""
INTERRUPTED, TERMINATED = 130, 143
"""Stopped by SIGINT, or by SIGTERM, after saving a checkpoint."""

STOPPED_BY = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: TERMINATED,
    signal.SIGHUP: TERMINATED,
    signal.SIGUSR1: TERMINATED,
}
"""The signals that ask a run to stop. A terminal that goes away sends SIGHUP; Slurm's ``--signal`` sends SIGUSR1."""
