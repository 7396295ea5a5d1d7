"""Milliseconds that training waits for a checkpoint of 100 MB, compared with the time to clone its tensors.

Training goes on while the checkpoint is written; what counts here is the call that the training thread waits for, the
flushing of the other handlers included. All default handlers are on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch

from firebox.benchmarks import trivial
from firebox.benchmarks.measuring import Cells, begin, firebox, median_ratio, options, report
from firebox.engine.training.bases.phases import Phase

WIDTH = 2880
EVERY = 10
BATCH_SIZE = 4


def tensors(state: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors of nested maps and lists."""
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for child in state.values():
            yield from tensors(child)
    elif isinstance(state, list | tuple):
        for child in state:
            yield from tensors(child)


def main() -> None:
    chosen = begin(options(__doc__, rounds=11))
    blocked: list[float] = []
    cloned: list[float] = []
    written: list[float] = []
    content = {
        "datamodule": {
            "name": "firebox.benchmarks.random_images:RandomImages",
            "length": BATCH_SIZE * EVERY * (chosen.rounds + 1),
            "height": trivial.HEIGHT,
            "width": trivial.WIDTH,
            "batch_size": BATCH_SIZE,
        },
        "model": {"name": "firebox.benchmarks.trivial:Large", "width": WIDTH},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "adam", "lr": 0.0001},
        "training": {"epochs": 1, "device": "cpu"},
        "handlers": [{"checkpoint": {"every": f"{EVERY} iterations"}}],
    }
    with firebox(content) as run:
        began = 0.0

        def before() -> None:
            nonlocal began
            state = list(tensors(run.state_dict()))
            run.background.drain()
            for _ in range(
                2
            ):  # so that both, the clones that count and the checkpoint, find memory that was just freed
                start = time.perf_counter()
                clones = [tensor.detach().clone() for tensor in state]
                seconds = time.perf_counter() - start
                del clones
            cloned.append(seconds)
            began = time.perf_counter()

        def after() -> None:
            blocked.append(time.perf_counter() - began)
            run.background.drain()
            written.append(time.perf_counter() - began)

        run.every(f"{EVERY} iterations", before, Phase.DUMP)
        run.every(f"{EVERY} iterations", after, Phase.CHECKPOINT)
        run.trainer.run(run.streams["train"])
        size = sum(tensor.nbytes for tensor in tensors(run.state_dict()))
    del blocked[0], cloned[0], written[0]
    rows: list[Cells] = [
        {"": "clone the tensors", "ms": statistics.median(cloned) * 1e3, "x clone": 1.0},
        {"": "training blocked", "ms": statistics.median(blocked) * 1e3, "x clone": median_ratio(blocked, cloned)},
        {"": "until it is on disk", "ms": statistics.median(written) * 1e3, "x clone": median_ratio(written, cloned)},
    ]
    title = f"A checkpoint of {size / 1e6:.0f} MB, median of {chosen.rounds}"
    report(title, rows, chosen, bytes=size, cloned=cloned, blocked=blocked, written=written)


if __name__ == "__main__":
    main()
