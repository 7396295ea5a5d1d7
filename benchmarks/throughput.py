"""Images per second of whole training steps on a device: Firebox with all default handlers, and a bare loop.

The bare loop does the same work with the same kernels: bytes held on the device and gathered by a shuffled index,
channels_last, a fused Adam, autocast where the precision asks for it; it never looks at a loss. Two models: the
convolutional autoencoder, and a ResNet-18 for images of 28 by 28 pixels.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torchvision.models.resnet import BasicBlock, ResNet

from firebox.benchmarks.measuring import Cells, begin, firebox, interleaved, median_ratio, options, report
from firebox.benchmarks.random_images import random_images
from firebox.models.cae_baseline import CAEBaseline

SHAPE = (1, 28, 28)
BATCH_SIZES = (128, 1024)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WARM = 10
"""Warm-up iterations, which do not count."""


class ResNet18(ResNet):
    """ResNet-18 as for CIFAR, without its first pooling and with a first stride of 1: 11 million parameters."""

    output_activation = "linear"

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
        self.conv1 = nn.Conv2d(SHAPE[0], 64, 3, padding=1, bias=False)
        self.maxpool = nn.Identity()  # type: ignore[assignment]


def reconstruction(model: nn.Module, images: Tensor, _: Tensor) -> Tensor:
    return mse_loss(model(images).float(), images)


def classification(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(model(images).float(), labels)


Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
MODELS: dict[str, tuple[Callable[[], nn.Module], Loss, dict[str, Any]]] = {
    "CAE": (
        lambda: CAEBaseline(SHAPE),
        reconstruction,
        {"model": {"name": "cae_baseline"}, "module": {"name": "reconstruction"}},
    ),
    "ResNet-18": (
        ResNet18,
        classification,
        {"model": {"name": "firebox.benchmarks.throughput:ResNet18"}, "module": {"name": "classification"}},
    ),
}


def wait(device: torch.device) -> float:
    """Returns the time once the device has finished all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def bare(name: str, precision: str, batch_size: int, iterations: int, device: torch.device) -> float:
    """Returns the images per second of a loop as a good engineer would write it by hand."""
    make, loss_of, _ = MODELS[name]
    source = random_images(batch_size * (WARM + iterations), *SHAPE[1:]).to(device)
    pixels, labels = source.images, source.labels
    assert labels is not None
    order = torch.randperm(len(pixels)).to(device)
    model = make().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    began = wait(device)
    for iteration in range(WARM + iterations):
        if iteration == WARM:
            began = wait(device)
        indices = order[iteration * batch_size : (iteration + 1) * batch_size]
        batch = pixels[indices].contiguous(memory_format=torch.channels_last).float().div_(255)
        optimizer.zero_grad()
        with nullcontext() if precision == "float32" else torch.autocast(device.type, PRECISIONS[precision]):
            loss = loss_of(model, batch, labels[indices])
        loss.backward()
        optimizer.step()
    return batch_size * iterations / (wait(device) - began)


def engine(name: str, precision: str, batch_size: int, iterations: int, device: torch.device) -> float:
    """Returns the images per second of Firebox."""
    content = {
        "datamodule": {
            "name": "firebox.benchmarks.random_images:RandomImages",
            "length": batch_size * (WARM + iterations),
            "height": SHAPE[1],
            "width": SHAPE[2],
            "batch_size": batch_size,
        },
        "optimizer": {"name": "adam", "lr": 0.001},
        "training": {"epochs": 1, "device": str(device), "precision": precision},
        **MODELS[name][2],
    }
    with firebox(content) as run:
        from firebox.engine.training.bases.phases import Phase

        times: list[float] = []

        def note() -> None:
            if run.iteration in (WARM, WARM + iterations):
                times.append(wait(device))

        run.every("1 iterations", note, Phase.STEP)
        run.trainer.run(run.streams["train"])
    began, ended = times
    return batch_size * iterations / (ended - began)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--iterations", type=int, default=100, help=f"that count, after {WARM}; default 100")
    parser.add_argument("--only", action="append", choices=MODELS, help="measure this model; repeatable")
    chosen = begin(parser)
    device = torch.device(chosen.device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # as Firebox does
    rows: list[Cells] = []
    rates: dict[str, dict[str, list[float]]] = {}
    for job in itertools.product(chosen.only or MODELS, PRECISIONS, BATCH_SIZES):
        arguments = (*job, chosen.iterations, device)
        systems = {"bare loop": lambda: bare(*arguments), "Firebox": lambda: engine(*arguments)}  # noqa: B023
        measured = interleaved(systems, chosen.rounds)
        title = "{}, {}, batch {}".format(*job)
        rates[title] = measured
        rows.append(
            {
                "": title,
                **{name: statistics.median(values) for name, values in measured.items()},
                "x bare loop": median_ratio(measured["Firebox"], measured["bare loop"]),
            }
        )
    title = f"Images a second on {device}, {chosen.threads} thread(s), median of {chosen.rounds} rounds"
    report(title, rows, chosen, images_per_second=rates)


if __name__ == "__main__":
    main()
