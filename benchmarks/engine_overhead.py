"""Overhead of an engine in microseconds: the time of each iteration of a trivial step, over that of a bare loop.

The work, the same for all: gather 4 images (1, 2, 4) and their labels by a shuffled index from uint8 tensors in memory,
convert the images to float32 in [0, 1], one linear layer, mean squared error, backward, a fused SGD step, and no
gradients left. A stretch of a system and a stretch of the bare loop take turns in one process; what counts is the
difference between the two beside each other. The peers are given the hand-written batches of the bare loop, not those
of a DataLoader. Firebox's default handlers are all on: losses to losses.jsonl and TensorBoard every 10 iterations, the
progress bar, the watch for NaN, the guards; evaluation, images and checkpoints are set and not due in the stretches.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import mse_loss

from firebox.benchmarks import baseline
from firebox.benchmarks.measuring import Cells, begin, firebox, installed, interleaved, no_handlers, options, report
from firebox.benchmarks.random_images import random_images
from firebox.benchmarks.trivial import HEIGHT, WIDTH, OneLayer

BATCH_SIZE = 4
STRETCH = 200
STRETCHES = 50
Stretch = Callable[[], None]


class Turns:
    """Measures stretches of a system, each next to one of the bare loop.

    Args:
        stretches: number of stretches to measure, after one that does not count.
    """

    def __init__(self, stretches: int) -> None:
        self._bare = bare()
        self._stretches = stretches
        self._since: float | None = None
        self.system: list[float] = []
        self.beside: list[float] = []

    def __call__(self) -> bool:
        """Ends a stretch, called by the system; returns whether there have been enough."""
        now = time.perf_counter()
        if self._since is not None:
            self.system.append((now - self._since) / STRETCH * 1e6)
        self._bare()
        after = time.perf_counter()
        if self._since is not None:
            self.beside.append((after - now) / STRETCH * 1e6)
        self._since = time.perf_counter()
        return len(self.system) == self._stretches

    @property
    def overhead(self) -> float:
        """Microseconds per iteration, the median over the stretches."""
        return statistics.median(own - other for own, other in zip(self.system, self.beside, strict=True))


def images_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the data from which the hand-written batches of a stretch are gathered."""
    source = random_images(BATCH_SIZE * STRETCH, HEIGHT, WIDTH)
    assert source.labels is not None
    return source.images, source.labels


def bare() -> Stretch:
    """Returns a stretch of a loop as a good engineer would write it by hand."""
    pixels, labels = images_and_labels()
    order = torch.randperm(len(pixels))
    model = OneLayer()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, fused=True)

    def stretch() -> None:
        for start in range(0, len(order), BATCH_SIZE):
            indices = order[start : start + BATCH_SIZE]
            batch, _ = pixels[indices].float().div_(255), labels[indices]
            optimizer.zero_grad()
            loss = mse_loss(model(batch), batch)
            loss.backward()
            optimizer.step()

    return stretch


class Batches:
    """The bare loop's batches for an engine that takes an iterable, until there have been enough stretches."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._pixels, self._labels = images_and_labels()

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(len(self._pixels))
        enough = False
        while not enough:
            for start in range(0, len(order), BATCH_SIZE):
                indices = order[start : start + BATCH_SIZE]
                yield self.batch(self._pixels[indices].float().div_(255), self._labels[indices])
            enough = self._turns()

    def batch(self, pixels: torch.Tensor, labels: torch.Tensor) -> Any:
        return pixels, labels


def parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = OneLayer()
    return model, torch.optim.SGD(model.parameters(), lr=1e-3, fused=True)


def bare_beside_bare(turns: Turns) -> None:
    """The measurement without any engine, which shows the error of the method."""
    stretch = bare()
    while True:
        stretch()
        if turns():
            return


def ignite_engine(turns: Turns, *, log: bool = False) -> None:
    from ignite.engine import Engine

    model, optimizer = parts()

    def silent(_: Engine, batch: Any) -> torch.Tensor:
        return baseline.step(model, optimizer, batch[0])

    def with_value(_: Engine, batch: Any) -> float:
        return baseline.step(model, optimizer, batch[0]).item()

    trainer = Engine(with_value if log else silent)
    with Path(os.devnull).open("w") as nothing:
        if log:
            from ignite.handlers import ProgressBar
            from ignite.metrics import RunningAverage

            RunningAverage(output_transform=lambda loss: loss).attach(trainer, "loss")
            ProgressBar(file=nothing).attach(trainer, ["loss"])
        trainer.run(Batches(turns), max_epochs=1)


def firebox_engine(turns: Turns, *, handlers: bool) -> None:
    content: dict[str, Any] = {
        "datamodule": {
            "name": "firebox.benchmarks.random_images:RandomImages",
            "length": BATCH_SIZE * STRETCH * (STRETCHES + 3),
            "height": HEIGHT,
            "width": WIDTH,
            "batch_size": BATCH_SIZE,
        },
        "model": {"name": "firebox.benchmarks.trivial:OneLayer"},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "sgd", "lr": 0.001},
        "training": {"epochs": 1, "device": "cpu"},
        "handlers": [] if handlers else no_handlers(),
    }
    with firebox(content) as run:
        from firebox.engine.training.bases.phases import Phase

        def turn() -> None:
            if turns():
                run.trainer.terminate()

        run.every(f"{STRETCH} iterations", turn, Phase.CHECKPOINT)
        run.trainer.run(run.streams["train"])


def lightning_trainer(turns: Turns, *, bar: bool) -> None:
    import lightning

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.optimizer = parts()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss = mse_loss(self.model(batch[0]), batch[0])
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimizer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with silence():
        trainer = lightning.Trainer(
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            accelerator="cpu",
            enable_model_summary=False,
            enable_progress_bar=bar,
        )
        trainer.fit(Module(), Batches(turns))


def monai_trainer(turns: Turns) -> None:
    from monai.engines import SupervisedTrainer

    class Dictionaries(Batches):
        def batch(self, pixels: torch.Tensor, labels: torch.Tensor) -> Any:
            return {"image": pixels, "label": pixels}

    logging.getLogger("ignite").setLevel(logging.ERROR)
    model, optimizer = parts()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=Dictionaries(turns),
        epoch_length=STRETCH * (STRETCHES + 1),
        network=model,
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
    )
    trainer.run()


@contextmanager
def silence() -> Iterator[None]:
    """Discards everything that is printed."""
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        yield


def main() -> None:
    chosen = begin(options(__doc__))
    systems: dict[str, Callable[[Turns], None]] = {
        "bare loop, beside itself": bare_beside_bare,
        "Firebox, no handlers": lambda turns: firebox_engine(turns, handlers=False),
        "Firebox, all default handlers": lambda turns: firebox_engine(turns, handlers=True),
        "Ignite Engine, no handlers": ignite_engine,
    }
    if installed("tqdm"):
        systems["Ignite + RunningAverage + ProgressBar"] = lambda turns: ignite_engine(turns, log=True)
    if installed("monai"):
        systems["MONAI SupervisedTrainer"] = monai_trainer
    if installed("lightning"):
        systems["Lightning, no progress bar"] = lambda turns: lightning_trainer(turns, bar=False)
        systems["Lightning, progress bar"] = lambda turns: lightning_trainer(turns, bar=True)
    bare_times: dict[str, list[float]] = {name: [] for name in systems}

    def measured(name: str) -> float:
        turns = Turns(STRETCHES)
        systems[name](turns)
        bare_times[name].append(statistics.median(turns.beside))
        return turns.overhead

    overheads = interleaved({name: (lambda name=name: measured(name)) for name in systems}, chosen.rounds)  # type: ignore[misc]
    rows: list[Cells] = [
        {
            "system": name,
            "µs over bare": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
            "bare µs": statistics.median(bare_times[name][1:]),
        }
        for name, values in overheads.items()
    ]
    title = f"Overhead of an iteration, {chosen.threads} thread(s), median of {chosen.rounds} rounds"
    report(title, rows, chosen, stretch=STRETCH, stretches=STRETCHES, overheads=overheads)


if __name__ == "__main__":
    main()
