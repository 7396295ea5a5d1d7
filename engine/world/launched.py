"""What the launcher says of the processes that it has started."""

from __future__ import annotations

import os
from dataclasses import dataclass

from firebox.foundation.problems import Problem, Refusal

OTHERS = (("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_SIZE", "PMI_RANK"))
"""The variables by which mpirun and mpiexec give a process their number and its own rank."""
WAY_OUT = (
    "expected torchrun, such as: torchrun --nproc-per-node 2 SCRIPT, and one per node with srun --ntasks-per-node=1"
)


@dataclass(frozen=True, slots=True)
class Launched:
    """A process that torchrun has started.

    Args:
        rank: number of the process, counted from 0.
        size: number of processes.
        local_rank: its number on its machine.
        local_size: number of processes on its machine.
        address: address of the store that all of them can reach.
        port: port of the store.
        by_agent: whether torchrun's agent keeps the store, so that it outlives the processes.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    by_agent: bool


def launched() -> Launched | None:
    """Returns what torchrun says of this process; None if nothing has started it as one of several.

    Raises:
        Refusal: another launcher has started several processes, each of which would train a run of its own. Only the
            first process gives the reason, so that it is shown once.
    """
    size, rank = _number("WORLD_SIZE"), _number("RANK")
    by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address, port = os.environ.get("MASTER_ADDR", ""), _number("MASTER_PORT")
    if size > 1 and not (address and port):
        message = f"WORLD_SIZE is {size}, but MASTER_ADDR and MASTER_PORT do not say where the processes meet"
        raise Refusal([Problem("", f"{message}; {WAY_OUT}")] if rank == 0 else [])
    if size > 1:
        return Launched(rank, size, _number("LOCAL_RANK"), _number("LOCAL_WORLD_SIZE") or 1, address, port, by_agent)
    several = _started_together()
    if several is not None:
        variable, processes, rank = several
        message = f"{variable} is {processes}, but nothing says where the processes meet: each would train alone"
        raise Refusal([Problem("", f"{message}; {WAY_OUT}")] if rank == 0 else [])
    return Launched(0, 1, 0, 1, address, port, by_agent) if by_agent and address and port else None


def _started_together() -> tuple[str, int, int] | None:
    """Returns the variable that gives the number of processes, that number, and the rank of this process."""
    for size, rank in OTHERS:
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
