"""How a command ends: the exit codes of every trainer script, command and experiment."""

from __future__ import annotations

import signal

COMPLETED = 0
FAILED = 1
"""What was begun could not be finished."""
REFUSED = 2
"""Nothing was begun, and nothing was left behind."""
INTERRUPTED, TERMINATED = 130, 143
"""Stopped by SIGINT, or by SIGTERM, after saving a checkpoint."""

STOPPED_BY = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: TERMINATED,
    signal.SIGHUP: TERMINATED,
    signal.SIGUSR1: TERMINATED,
}
"""The signals that ask a run to stop. A terminal that goes away sends SIGHUP; Slurm's ``--signal`` sends SIGUSR1."""
