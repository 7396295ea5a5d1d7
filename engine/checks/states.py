"""The states of a rehearsed run's parts, and the values in them that a checkpoint can't restore."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from firebox.engine.records.storable import Unstorable, snapshot
from firebox.engine.training.bases.ownership import network_state, own_networks, unstorable_text
from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")


def states(run: Run) -> dict[tuple[str, ...], Any]:
    """Returns the state of each part of a run, by its section and name; of those that can be asked on fake tensors."""
    parts: dict[tuple[str, ...], Callable[[], Any]] = {
        ("model",): run.model.state_dict,
        ("module",): run.module.state_dict,
        **{("optimizers", name): optimizer.state_dict for name, optimizer in run.update.optimizers.items()},
        **{("networks", name): partial(network_state, part) for name, part in own_networks(run.module).items()},
        **{("handlers", name): handler.state_dict for name, handler in run.handlers.items()},
    }
    found = {}
    for keys, state_dict in parts.items():
        try:
            found[keys] = state_dict()
        except Exception:  # one that looks at values, or has none before the run is started
            logger.debug("the state of %s can't be had before the training", ".".join(keys), exc_info=True)
    return found


def unstorable(run: Run) -> dict[tuple[str, ...], str]:
    """Returns what a checkpoint could not give back, in words, by the section and name of the part that it is of."""
    found = {}
    for keys, state in states(run).items():
        try:
            snapshot(state, keys)
        except Unstorable as error:
            found[keys] = unstorable_text(error)
        except Exception:  # what goes wrong with fake tensors need not go wrong with real ones
            logger.debug("the state of %s is not checked", ".".join(keys), exc_info=True)
    return found
