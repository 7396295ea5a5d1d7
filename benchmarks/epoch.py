"""Seconds per epoch of the baseline job, with the same network, data, batch size and optimizer for each system.

Everything is in its idiomatic form; Firebox has its default configuration. The floor is a bare loop over float images
that are in memory already: no shuffling, no conversion, no logging. What is timed is the training of one epoch;
"with its end" adds what Firebox does there: images, checkpoint, all of it on disk. Before the rounds, the losses of
Firebox are compared with those of a loop written by hand, fed the same batches and initial weights.
"""

from __future__ import annotations

import copy
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from firebox.benchmarks import baseline
from firebox.benchmarks.measuring import Cells, begin, firebox, installed, interleaved, median_ratio, options, report


class AsTorchvision(Dataset[tuple[torch.Tensor, int]]):
    """Fashion-MNIST as returned by torchvision's class and ``ToTensor``, one sample at a time."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images[:, 0]
        self._convert = ToTensor()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._convert(Image.fromarray(self._images[index].numpy())), 0


def loader(images: torch.Tensor, workers: int) -> DataLoader[Any]:
    return DataLoader(AsTorchvision(images), baseline.BATCH_SIZE, shuffle=True, num_workers=workers)


def bare(images: torch.Tensor, workers: int) -> float:
    model = baseline.network()
    optimizer = baseline.adam(model)
    batches = loader(images, workers)
    began = time.perf_counter()
    for batch, _ in batches:
        baseline.step(model, optimizer, batch)
    return time.perf_counter() - began


def ignite_engine(images: torch.Tensor) -> float:
    from ignite.engine import Engine, Events
    from ignite.handlers import ProgressBar
    from ignite.handlers.tensorboard_logger import TensorboardLogger
    from ignite.metrics import RunningAverage

    model = baseline.network()
    optimizer = baseline.adam(model)

    def step(_: Engine, batch: Any) -> float:
        return baseline.step(model, optimizer, batch[0]).item()

    trainer = Engine(step)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nothing:
        RunningAverage(output_transform=lambda loss: loss).attach(trainer, "loss")
        ProgressBar(file=nothing).attach(trainer, ["loss"])
        board = TensorboardLogger(log_dir=folder)
        board.attach_output_handler(
            trainer, event_name=Events.ITERATION_COMPLETED(every=10), tag="train", metric_names=["loss"]
        )
        batches = loader(images, 0)
        began = time.perf_counter()
        trainer.run(batches, max_epochs=1)
        seconds = time.perf_counter() - began
        board.close()
    return seconds


def lightning_trainer(images: torch.Tensor, workers: int) -> float:
    import lightning
    from lightning.pytorch.loggers import TensorBoardLogger

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = baseline.network()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss = mse_loss(self.model(batch[0]), batch[0])
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return baseline.adam(self)

    class Clock(lightning.Callback):  # type: ignore[misc]
        def on_train_epoch_start(self, *_: Any) -> None:
            self.began = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - self.began

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    clock = Clock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
    ):
        trainer = lightning.Trainer(
            max_epochs=1,
            logger=TensorBoardLogger(folder),
            enable_checkpointing=False,
            callbacks=[clock],
            log_every_n_steps=10,
            accelerator="cpu",
            enable_model_summary=False,
        )
        trainer.fit(Module(), loader(images, workers))
    return clock.seconds


def monai_trainer(images: torch.Tensor) -> float:
    from monai.engines import SupervisedTrainer
    from monai.handlers import TensorBoardStatsHandler

    class Dictionaries(AsTorchvision):
        def __getitem__(self, index: int) -> Any:
            pixels, _ = super().__getitem__(index)
            return {"image": pixels, "label": pixels}

    logging.getLogger("ignite").setLevel(logging.ERROR)
    model = baseline.network()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=DataLoader(Dictionaries(images), baseline.BATCH_SIZE, shuffle=True),
            network=model,
            optimizer=baseline.adam(model),
            loss_function=nn.MSELoss(),
            train_handlers=[TensorBoardStatsHandler(log_dir=folder, output_transform=lambda output: output[0]["loss"])],
        )
        began = time.perf_counter()
        trainer.run()
        return time.perf_counter() - began


class Firebox:
    """An epoch of Firebox.

    Args:
        name: name of the datamodule.
        training: settings of the section ``training`` that differ from the defaults.
    """

    def __init__(self, name: str, **training: Any) -> None:
        self._content = baseline.configuration(name, **training)
        self.with_end: list[float] = []

    def __call__(self) -> float:
        with firebox(self._content) as run:
            from firebox.engine.training.bases.phases import Phase

            trained: list[float] = []
            run.every("1 epoch", lambda: trained.append(time.perf_counter()), Phase.STEP)
            began = time.perf_counter()
            run.trainer.run(run.streams["train"])
            run.background.drain()
            self.with_end.append(time.perf_counter() - began)
            return trained[0] - began


def by_hand(model: nn.Module, batches: Iterable[torch.Tensor]) -> list[float]:
    """Trains a model on batches, uint8 (N, 1, 28, 28), in a bare loop; returns the loss of every iteration."""
    optimizer = baseline.adam(model, fused=True)
    return [baseline.step(model, optimizer, batch.float().div_(255)).item() for batch in batches]


def differences(name: str) -> dict[str, float]:
    """Trains an epoch with Firebox and in a bare loop, with equal weights and batches, and compares the losses.

    Args:
        name: name of the datamodule.

    Returns:
        The largest relative difference of two losses of an iteration: with the same kernels, and to the floor's plain
        layers, where other kernels add up in another order.

    Raises:
        AssertionError: the mean loss of the epoch differs by more than float noise.
    """
    with firebox(baseline.configuration(name)) as run:
        from firebox.engine.training.updates.losses import Row

        plain = baseline.network()
        baseline.copy_weights(plain, run.model)
        models = {"the same kernels": copy.deepcopy(run.model), "the floor's layers": plain}
        rows: list[Row] = []
        run.losses.subscribe(rows.extend)
        run.trainer.run(run.streams["train"])
        run.losses.settle()
        stream = run.streams["train"]
        losses = {
            kernels: by_hand(model, (stream.read(iteration).images for iteration in range(len(stream))))
            for kernels, model in models.items()
        }
    own = [row.losses["loss"] for row in rows]
    for kernels, noise in (("the same kernels", 1e-6), ("the floor's layers", 1e-3)):
        mean, expected = statistics.fmean(own), statistics.fmean(losses[kernels])
        assert abs(mean - expected) <= noise * expected, f"the epoch's loss is {mean}, with {kernels} {expected}"
    return {
        kernels: max(abs(value - other) / other for value, other in zip(own, values, strict=True))
        for kernels, values in losses.items()
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--data", choices=baseline.DATA, default="fashion_mnist")
    parser.add_argument("--only", action="append", metavar="SYSTEM", help="measure the floor and this; repeatable")
    chosen = begin(parser)
    images = baseline.training_images(chosen.data)
    difference = differences(chosen.data)
    own = {"Firebox": Firebox(chosen.data), "Firebox, bfloat16": Firebox(chosen.data, precision="bfloat16")}
    systems: dict[str, Callable[[], float]] = {
        "floor": lambda: baseline.floor(images),
        "bare loop, bytes in memory, fused Adam": lambda: baseline.resident(images),
        "bare loop + DataLoader": lambda: bare(images, 0),
        "bare loop + DataLoader, 2 workers": lambda: bare(images, 2),
        **own,
    }
    if installed("tqdm"):
        systems["Ignite + log + bar"] = lambda: ignite_engine(images)
    if installed("monai"):
        systems["MONAI"] = lambda: monai_trainer(images)
    if installed("lightning"):
        systems["Lightning"] = lambda: lightning_trainer(images, 0)
        systems["Lightning, 2 workers"] = lambda: lightning_trainer(images, 2)
    if chosen.only:
        systems = {name: systems[name] for name in ("floor", *chosen.only)}
    seconds = interleaved(systems, chosen.rounds)
    for name, system in own.items():
        if name in seconds:
            seconds[f"{name}, with its end"] = system.with_end[1:]
    rows: list[Cells] = [
        {
            "system": name,
            "seconds": statistics.median(values),
            "images/s": len(images) / statistics.median(values),
            "x floor": median_ratio(values, seconds["floor"]),
        }
        for name, values in seconds.items()
    ]
    title = f"An epoch of {len(images):,} images, {chosen.threads} thread(s), median of {chosen.rounds} rounds"
    report(title, rows, chosen, data=chosen.data, seconds=seconds, largest_difference=difference)
    for kernels, value in difference.items():
        print(f"Losses of Firebox and of a loop with {kernels}: largest relative difference {value:.2g}")


if __name__ == "__main__":
    main()
