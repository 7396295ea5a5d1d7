"""Whether a run has been trained to its end, or is to be trained further."""

from __future__ import annotations

from firebox.engine.configuration import Configuration
from firebox.engine.configuration.values import recorded_epochs
from firebox.engine.launch import messages
from firebox.engine.launch.continuity import differing
from firebox.engine.launch.resuming import damage
from firebox.engine.records.run_directory import RunDirectory


def completed(directory: RunDirectory, configuration: Configuration) -> bool:
    """Whether a run has been trained for as many epochs as are now wanted, and its files are whole.

    A run that a handler ended early is not complete if its handlers have changed: they decide anew whether it goes on.
    """
    epochs = recorded_epochs(directory.configuration)
    if directory.status().state != "completed" or configuration.training.epochs > epochs:
        return False
    changed = [found.key for found in differing(directory, configuration, ())]
    if ended_early(directory, epochs) and any(key.startswith("handlers") for key in changed):
        messages.decided_anew(directory)
        return False
    found = damage(directory, configuration)
    if found is not None:
        messages.damaged(directory, found)
    return found is None


def ended_early(directory: RunDirectory, epochs: int) -> bool:
    """Whether a completed run was ended by one of its handlers before the last of its epochs."""
    epoch_length = directory.recorded_environment().get("epoch_length")
    return type(epoch_length) is int and directory.status().iteration < epochs * epoch_length
