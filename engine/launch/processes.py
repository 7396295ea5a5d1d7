"""Processes that must not train: those of multiprocessing."""

from __future__ import annotations

import multiprocessing
import sys

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
