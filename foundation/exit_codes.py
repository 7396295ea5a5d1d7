"""How a command ends: the exit codes of every trainer script, command and experiment."""

from __future__ import annotations

COMPLETED = 0
FAILED = 1
"""What was begun could not be finished."""
REFUSED = 2
"""Nothing was begun, and nothing was left behind."""
INTERRUPTED, TERMINATED = 130, 143
"""Stopped by SIGINT, or by SIGTERM, after saving a checkpoint."""
