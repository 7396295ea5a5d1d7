"""Processes that must not train: those of multiprocessing, and several that were not started by torchrun."""

from __future__ import annotations

import multiprocessing
import sys

from firebox.engine.world.launched import launched
from firebox.foundation.problems import Mark, Problem, Refusal


def refuse_second_import() -> None:
    """Refuses to train in a process that multiprocessing started by importing the user's script again.

    Raises:
        Refusal: this is such a process.
    """
    # This is how multiprocessing itself recognises such a process.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        message = (
            "multiprocessing imports this script again in each process that it starts, which would train it again; "
            'expected the call that trains below: if __name__ == "__main__":'
        )
        raise Refusal([Problem("", message, Mark(str(sys.argv[0])))])


def refuse_several() -> None:
    """Refuses one of several processes where a single one is to train, as from Python.

    Raises:
        Refusal: this is such a process. Only the first process gives the reason, so that it is shown once.
    """
    started = launched()
    if started is not None and started.size > 1:
        message = f"WORLD_SIZE is {started.size}, but a run from Python is trained by one process"
        expected = "expected a trainer's script, such as: torchrun --nproc-per-node 2 trainers/train_cae_baseline.py"
        raise Refusal([Problem("", f"{message}; {expected}")] if started.rank == 0 else [])
