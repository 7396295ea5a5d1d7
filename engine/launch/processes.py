"""Processes that must not train: those of multiprocessing, and those that a launcher starts together."""

from __future__ import annotations

import multiprocessing
import os
import sys

from firebox.foundation.problems import Mark, Problem, Refusal

LAUNCHERS = (("WORLD_SIZE", "RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "PMI_RANK"))
"""The variables by which torchrun, mpirun and mpiexec give a process their number and its own rank."""


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
    """Refuses a process that a launcher started as one of several, each of which would train a run of its own.

    Raises:
        Refusal: this is such a process. Only the first process gives the reason, so that it is shown once.
    """
    launched = _launched()
    if launched is None:
        return
    variable, processes, rank = launched
    reason = f"{variable} is {processes}, but training in several processes is not supported: each would train alone"
    expected = "expected one process: without torchrun, and with srun --ntasks=1"
    raise Refusal([Problem("", f"{reason}; {expected}")] if rank == 0 else [])


def _launched() -> tuple[str, int, int] | None:
    """Returns the variable that gives the number of processes, that number, and the rank of this process."""
    for size, rank in LAUNCHERS:
        if _number(size) > 1:
            return size, _number(size), _number(rank)
    # In a batch script and its children, SLURM_NTASKS is what srun would start, and there is no step.
    task = _number("SLURM_PROCID")
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        size = "SLURM_STEP_NUM_TASKS"
    elif "SLURM_STEP_ID" in os.environ or "SLURM_STEPID" in os.environ or task:
        size = "SLURM_NTASKS"
    else:
        return None
    return (size, _number(size), task) if _number(size) > 1 else None


def _number(variable: str) -> int:
    """Returns the integer value of a variable; 0 if it is not set or not a number."""
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else 0
