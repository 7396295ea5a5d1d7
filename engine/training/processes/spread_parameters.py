"""Weights that are spread over the processes (FSDP2): each holds a part, and has a layer's whole while it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_api import AllGather, Comm, ReduceScatter
from torch.distributed.tensor import DTensor, distribute_tensor

from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.world.tree import Tree
from firebox.engine.world.world import World

DIFFERENT = (
    "its training step uses other parameters for one shard of a batch than for another, or some more than once, which "
    "training.parallel fsdp can't add; expected the same ones in each step, or --set training.parallel=replicated"
)
CONTAINERS = (torch.nn.ModuleList, torch.nn.ModuleDict)
"""Layers that hold others and can't be called."""


class Calls:
    """What this process has gathered and added so far, as a number that all processes have the same of.

    Args:
        count: number of shards of a batch that each process takes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.digest = 0
        """A number below 2**16."""
        self.added: dict[int, int] = {}
        """The shards whose gradients were added in this iteration, by the number of the layer."""

    def note(self, kind: int, layer: int, elements: int) -> None:
        """Notes an exchange of a layer's parameters or gradients."""
        self.digest = hash((self.digest, kind, layer, elements)) % (1 << 16)

    @property
    def complete(self) -> bool:
        """Whether each layer was used for all of the process's shards, or for none."""
        return not any(self.added.values())


def spread(model: torch.nn.Module, world: World, count: int, device: torch.device) -> Calls:
    """Leaves to each process its part of a model's parameters. Nothing is sent: all processes have the same ones.

    Args:
        model: the model, whose parameters are replaced.
        world: the processes.
        count: number of shards of a batch that each process takes.
        device: the model's device.

    Returns:
        The exchanges that the process will have made.
    """
    calls = Calls(count)
    group = dist.group.WORLD
    assert group is not None
    mesh = DeviceMesh.from_group(group, device.type)
    for layer, part in enumerate((*units(model), model)):
        # The whole model's own parameters, too, are given up after its forward pass: an evaluation has no backward.
        spreading = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        spreading.set_gradient_divide_factor(1.0)
        spreading.set_force_sum_reduction_for_comms(True)
        spreading.set_custom_all_gather(WatchedAllGather(world, calls, layer))
        spreading.set_custom_reduce_scatter(TreeReduceScatter(world, calls, layer))
    return calls


def units(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Returns the layers whose parameters are gathered together, inner ones first.

    They are the layers in lists, such as the blocks of a transformer, and what the model itself consists of.
    """
    found = [*_listed(model), *(part for part in model.children() if not isinstance(part, CONTAINERS))]
    return [part for part in dict.fromkeys(found) if any(True for _ in part.parameters())]


def _listed(part: torch.nn.Module) -> Iterator[torch.nn.Module]:
    for child in part.children():
        if not isinstance(part, CONTAINERS) or isinstance(child, CONTAINERS):
            yield from _listed(child)
        else:
            yield child


class _Allocating(Comm):
    def allocate(self, size: Sequence[int | torch.SymInt], *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.empty(*size, dtype=dtype, device=device)


class WatchedAllGather(_Allocating, AllGather):
    """Gathers parameters; what a lost process breaks is said in the words of its failure.

    Args:
        world: the processes.
        calls: notes what is exchanged.
        layer: number of the layer.
    """

    def __init__(self, world: World, calls: Calls, layer: int) -> None:
        self._world = world
        self._calls = calls
        self._layer = layer

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: dist.ProcessGroup,
        async_op: bool = False,
    ) -> dist.Work | None:
        self._calls.note(0, self._layer, input_tensor.numel())
        with exchanging(self._world):
            work = dist.all_gather_into_tensor(output_tensor, input_tensor, group=group, async_op=async_op)
            if work is not None and output_tensor.device.type == "cpu":
                work.wait()
                return None
        return work


class TreeReduceScatter(_Allocating, ReduceScatter):
    """Adds gradients in the fixed tree: first those of the process's own shards, one each time, then all processes'.

    What it gives for all but the last of the shards is no gradient.

    Args:
        world: the processes.
        calls: notes what is exchanged, and how many shards' gradients were added.
        layer: number of the layer.
    """

    def __init__(self, world: World, calls: Calls, layer: int) -> None:
        self._world = world
        self._calls = calls
        self._layer = layer
        self._tree = Tree()
        self._elements = 0

    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: dist.ProcessGroup,
        op: object,
        async_op: bool = False,
    ) -> None:
        added = self._calls.added.get(self._layer, 0)
        if added and self._elements != len(input_tensor):
            raise UnusableModule([DIFFERENT])
        self._elements = len(input_tensor)
        self._calls.note(1, self._layer, self._elements)
        self._tree.add([input_tensor])
        self._calls.added[self._layer] = (added + 1) % self._calls.count
        if self._calls.added[self._layer]:
            output_tensor.zero_()
            return
        (total,) = self._tree.take()
        assert total is not None
        output_tensor.copy_(self._world.scattered_sum(total))


def exchanging(world: World) -> AbstractContextManager[None]:
    """Has an error of an exchange in the block say which process has failed, and why."""
    assert world.failures is not None
    return world.failures.named()


def gathered(state: Any, world: World) -> Any:
    """Returns a state with whole tensors, on the CPU, where the processes have parts; all of them have to call it.

    Args:
        state: nested dicts and lists.
        world: the processes; in all but the first, nothing is returned in the places of these tensors.
    """
    if isinstance(state, DTensor):
        with exchanging(world):
            whole = state.full_tensor()
        return whole.detach().cpu() if world.leads else None
    if isinstance(state, dict):
        return type(state)((key, gathered(value, world)) for key, value in state.items())
    if isinstance(state, list):
        return [gathered(value, world) for value in state]
    return state


def own_part(whole: torch.Tensor, like: torch.Tensor | None) -> torch.Tensor:
    """Returns a whole tensor as another one is: this process's part of it, where that is one. Nothing is sent."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def own_parts(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Returns an optimizer's state with this process's parts of what is of a parameter's shape."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = dict(state["state"])
    for number, parameter in enumerate(parameters):
        if number in parts:
            parts[number] = {
                name: own_part(value, parameter) if getattr(value, "shape", None) == parameter.shape else value
                for name, value in parts[number].items()
            }
    return {**state, "state": parts}


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Returns what this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
