"""Milliseconds that training waits for an image dump, beyond the forward pass on the images shown.

The baseline job with all default handlers on; the images of two splits are tiled, encoded and written beside the
training.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from firebox.benchmarks import baseline
from firebox.benchmarks.measuring import Cells, begin, firebox, options, report
from firebox.engine.training.bases.phases import Phase

EVERY = 3
COUNT = 16


def main() -> None:
    chosen = begin(options(__doc__, rounds=21))
    blocked: list[float] = []
    forward: list[float] = []
    written: list[float] = []
    content: dict[str, Any] = baseline.configuration("fashion_mini", epochs=-(-EVERY * (chosen.rounds + 1) // 40))
    content["datamodule"]["validation_fraction"] = 0.1
    content["handlers"] = [{"image_dump": {"every": f"{EVERY} iterations", "count": COUNT}}]
    with firebox(content) as run:
        began = 0.0
        shown = [run.preparation(run.streams[split].first(COUNT)) for split in ("train", "validation")]

        def before() -> None:
            nonlocal began
            run.background.drain()
            start = time.perf_counter()
            with run.evaluating(), torch.inference_mode():
                for batch in shown:
                    run.module.images(batch)
            forward.append(time.perf_counter() - start)
            began = time.perf_counter()

        def after() -> None:
            blocked.append(time.perf_counter() - began)
            run.background.drain()
            written.append(time.perf_counter() - began)
            if len(blocked) > chosen.rounds:
                run.trainer.terminate()

        run.every(f"{EVERY} iterations", before, Phase.LOG)
        run.every(f"{EVERY} iterations", after, Phase.DUMP)
        run.trainer.run(run.streams["train"])
    del blocked[0], forward[0], written[0]
    beyond = [whole - part for whole, part in zip(blocked, forward, strict=True)]
    rows: list[Cells] = [
        {"": "forward on the shown images", "ms": statistics.median(forward) * 1e3},
        {"": "training blocked", "ms": statistics.median(blocked) * 1e3},
        {"": "training blocked beyond the forward", "ms": statistics.median(beyond) * 1e3},
        {"": "until the files are on disk", "ms": statistics.median(written) * 1e3},
    ]
    title = f"A dump of {COUNT} images of each of two splits, median of {len(blocked)}"
    report(title, rows, chosen, forward=forward, blocked=blocked, written=written)


if __name__ == "__main__":
    main()
