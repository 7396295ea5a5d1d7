"""The baseline job in plain torch: a small convolutional autoencoder on Fashion-MNIST, batch size 128, Adam."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
DATA = ("fashion_mnist", "fashion_mini")


def network() -> nn.Sequential:
    """Returns the network in plain layers of torch, equivalent to cae_baseline with channels 16 and 32."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(1568, 64), nn.Linear(64, 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))),
        *(nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 3, 2, 1, 1), nn.Sigmoid()),
    )


def copy_weights(network: nn.Sequential, model: nn.Module) -> None:
    """Copies the weights of a cae_baseline, which flattens in the order (H, W, C), where nn.Flatten uses (C, H, W)."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    shapes = {
        "encoder.linear.weight": ((64, 7, 7, 32), (0, 3, 1, 2)),
        "decoder.linear.weight": ((7, 7, 32, 64), (2, 0, 1, 3)),
        "decoder.linear.bias": ((7, 7, 32), (2, 0, 1)),
    }
    for name, (shape, order) in shapes.items():
        state[name] = state[name].view(shape).permute(order).reshape(state[name].shape)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))


def adam(model: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, **settings)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> torch.Tensor:
    """Makes one step of a bare loop on images, float32 (N, C, H, W), and returns the loss."""
    optimizer.zero_grad()
    loss = mse_loss(model(images), images)
    loss.backward()
    optimizer.step()
    return loss


def training_images(name: str, count: int | None = None) -> torch.Tensor:
    """Reads the training images, uint8 (N, 1, 28, 28), from Debian's package or from the embedded data set.

    Args:
        name: fashion_mnist or fashion_mini.
        count: number of images, starting with the first; None for all.
    """
    from firebox.data.fashion_mini import FashionMini
    from firebox.data.fashion_mnist import FashionMNIST

    data = FashionMNIST(validation_fraction=0.0) if name == "fashion_mnist" else FashionMini(validation_fraction=0.0)
    return data.read("train").images[:count]


def floor(images: torch.Tensor) -> float:
    """Returns the seconds per epoch of a bare loop over float images that are already in memory, in order."""
    model = network()
    optimizer = adam(model)
    floats = images.float() / 255
    began = time.perf_counter()
    for start in range(0, len(floats), BATCH_SIZE):
        step(model, optimizer, floats[start : start + BATCH_SIZE])
    return time.perf_counter() - began


def resident(images: torch.Tensor) -> float:
    """Returns the seconds per epoch of a bare loop that shuffles and converts bytes, with a fused optimizer."""
    model = network()
    optimizer = adam(model, fused=True)
    began = time.perf_counter()
    order = torch.randperm(len(images))
    for start in range(0, len(images), BATCH_SIZE):
        step(model, optimizer, images[order[start : start + BATCH_SIZE]].float().div_(255))
    return time.perf_counter() - began


def configuration(name: str, **training: Any) -> dict[str, Any]:
    """Returns Firebox's configuration of the same job, with defaults for everything else.

    Args:
        name: name of the datamodule.
        training: settings of the section ``training`` in addition to one epoch on the CPU.
    """
    return {
        "datamodule": {"name": name, "batch_size": BATCH_SIZE, "validation_fraction": 0.0},
        "model": {"name": "cae_baseline", "channels": [16, 32], "latent_dim": 64},
        "module": {"name": "reconstruction", "loss": "mse"},
        "optimizer": {"name": "adam", "lr": LEARNING_RATE},
        "training": {"epochs": 1, "device": "cpu", **training},
    }
