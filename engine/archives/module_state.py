"""The module's state in an archive: its own networks, and whatever else it remembers.

The card is JSON and can't hold tensors, so the state is a file beside the weights. It is written like a checkpoint and
loaded without running any code. An archive whose module has no state has no such file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from firebox.engine.records.storable import restored, snapshot
from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import load_network, own_networks, restoring

MODULE = "module.pt"


def save_module_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes the module's part of a run's state into an archive.

    Args:
        folder: folder of the archive.
        state: state of the run, as a checkpoint has it.
    """
    kept = {key: state[key] for key in ("networks", "module") if state.get(key)}
    if kept:
        torch.save(snapshot(kept), folder / MODULE)


def load_module_state(module: Module, state: Mapping[str, Any]) -> None:
    """Restores a module's part of a run's state.

    Raises:
        StateMismatch: a part of the state is missing or does not fit; the message names it.
    """
    for name, part in own_networks(module).items():
        with restoring(f"the module's {name}", state, "networks", name):
            load_network(part, state["networks"][name])
    with restoring("the module", state):
        module.load_state_dict(state.get("module", {}))


def read_module_state(folder: Path, device: torch.device) -> dict[str, Any]:
    """Returns the module's part of the state from an archive."""
    file = folder / MODULE
    state = torch.load(file, map_location=device, weights_only=True) if file.is_file() else {}
    return dict(restored(state))
