"""The processes in which nothing is trained: multiprocessing's own, and those that a launcher starts together."""

from __future__ import annotations

import multiprocessing
import os
import sys

from firebox.foundation.problems import Mark, Problem, Refusal

LAUNCHERS = (("WORLD_SIZE", "RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "PMI_RANK"))
"""The variables by which torchrun, mpirun and mpiexec tell a process how many there are, and which of them it is."""


def refuse_second_import() -> None:
    """Refuses to train in a process that multiprocessing has begun by importing the user's script once more.

    Raises:
        Refusal: this is one.
    """
    # As multiprocessing itself recognises it.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        message = (
            "multiprocessing imports this script again in each process that it starts, which would train it again; "
            'expected the call that trains below: if __name__ == "__main__":'
        )
        raise Refusal([Problem("", message, Mark(str(sys.argv[0])))])


def refuse_several() -> None:
    """Refuses a process that a launcher has started as one of several, each of which would train a run of its own.

    Raises:
        Refusal: with the reason in the first of the processes, and without one in the others, so that it is said once.
    """
    launched = _launched()
    if launched is None:
        return
    variable, processes, rank = launched
    reason = f"{variable} is {processes}, but training in several processes is not supported: each would train alone"
    expected = "expected one process: without torchrun, and with srun --ntasks=1"
    raise Refusal([Problem("", f"{reason}; {expected}")] if rank == 0 else [])


def _launched() -> tuple[str, int, int] | None:
    """The variable that says that there are several processes, how many, and which of them this is."""
    for size, rank in LAUNCHERS:
        if _number(size) > 1:
            return size, _number(size), _number(rank)
    # In a batch script and its children SLURM_NTASKS says how many tasks srun would start, and there is no step.
    task = _number("SLURM_PROCID")
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        size = "SLURM_STEP_NUM_TASKS"
    elif "SLURM_STEP_ID" in os.environ or "SLURM_STEPID" in os.environ or task:
        size = "SLURM_NTASKS"
    else:
        return None
    return (size, _number(size), task) if _number(size) > 1 else None


def _number(variable: str) -> int:
    """A variable's value; 0 if it is not set or no number."""
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else 0
