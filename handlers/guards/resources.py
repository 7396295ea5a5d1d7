"""Guards that compare the resources a run needs with those of the machine."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.checks.resources import checkpoints_kept, free_disk, free_memory
from firebox.foundation.console import size
from firebox.foundation.machine import processors
from firebox.foundation.problems import Problem

WORKERS_PER_PROCESSOR = 8


class Workers(Guard):
    """Refuses many more worker processes than there are processors."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data = preflight.configuration.data
        most = WORKERS_PER_PROCESSOR * processors()
        if data.loading.workers > most:
            message = f"got {data.loading.workers} processes for {processors()} processors; expected at most {most}"
            yield preflight.problem(message, data.kind, "workers")


class Memory(Guard):
    """Refuses a run that does not fit into the free memory of its device."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from firebox.engine.training.devices.devices import choose_device

        configuration, costs = preflight.configuration, preflight.costs
        free = free_memory(configuration)
        if free is None:
            return
        sharing = 1 if choose_device(configuration.training.device).type == "cuda" else preflight.world.local_size
        free //= sharing
        if costs.memory <= free:
            return
        parts = {
            "weights, gradients and optimizer": costs.weights + costs.gradients + costs.optimizer,
            "activations": max(costs.activations, costs.evaluation),
            "data": costs.data,
        }
        listed = ", ".join(f"{name} {size(amount)}" for name, amount in parts.items() if amount)
        largest = max(parts, key=lambda name: parts[name])
        path = {"data": (configuration.data.kind, "placement"), "activations": (configuration.data.kind, "batch_size")}
        way_out = {"data": "placement: stream", "activations": "a smaller batch or more training.accumulation"}
        each = f" for each of {sharing} processes" if sharing > 1 else ""
        message = f"the run takes {size(costs.memory)} ({listed}), but {size(free)} are free{each}"
        expected = way_out.get(largest, "a smaller model")
        yield preflight.problem(f"{message}; expected {expected}", *path.get(largest, ("model", "name")))


class Disk(Guard):
    """Refuses checkpoints that the disk has no room for."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration, costs = preflight.configuration, preflight.costs
        kept = checkpoints_kept(configuration)
        try:
            free = free_disk(configuration.directory)
        except (OSError, ValueError):
            return
        if kept * costs.checkpoint > free:
            needed = f"{kept} checkpoints of {size(costs.checkpoint)} need {size(kept * costs.checkpoint)}"
            message = f"{needed}, but {size(free)} are free there"
            way_out = "expected another folder, or a smaller keep_last and keep_best of the handler checkpoint"
            yield preflight.problem(f"{message}; {way_out}", "output", "root")
