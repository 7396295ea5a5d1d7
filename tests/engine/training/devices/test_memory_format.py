"""Which models train in channels_last, and the fault of torch that keeps some of them from it."""

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from firebox.engine.launch import messages
from firebox.engine.training.devices.memory_format import gains_from_channels_last, overrunning
from tests.handlers.runs import configured, trained

CPU = torch.device("cpu")
NARROW = nn.Conv2d(8, 8, 1, stride=2)

MODEL = """
from torch import nn


class Narrow(nn.Module):
    def __init__(self, input_shape, *, latent_dim=4, kernel):
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1))
        self.shortcut = nn.Conv2d(8, 8, kernel, stride=2)
        self.out = nn.ConvTranspose2d(8, 1, 2, stride=2)

    def forward(self, images):
        return self.out(self.shortcut(self.widen(images))).sigmoid()
"""

GRADIENTS = """
import sys, torch
torch.set_num_threads(2)
layer, images = torch.nn.Conv2d(8, 8, 1, stride=2), torch.rand(7, 8, 16, 16)
if sys.argv[1] == "channels_last":
    layer, images = layer.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
for _ in range(20):
    layer(images).sum().backward()
"""


@pytest.mark.parametrize(
    "layer",
    [
        NARROW,
        nn.Conv2d(15, 64, 1, stride=(1, 2)),
        nn.Conv2d(32, 32, 1, stride=2, groups=4),
        nn.Conv2d(3, 8, 1, stride=3),
    ],
)
def test_a_narrow_1x1_convolution_with_a_stride_is_kept_from_channels_last_on_a_cpu_alone(layer):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(layer))

    assert overrunning(model) == "1.0"
    assert not gains_from_channels_last(model, CPU)
    assert gains_from_channels_last(model, torch.device("cuda"))


@pytest.mark.parametrize("layer", [nn.Conv2d(16, 8, 1, stride=2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, stride=2)])
def test_other_convolutions_train_in_channels_last(layer):
    assert overrunning(layer) is None
    assert gains_from_channels_last(layer, CPU)
    assert not gains_from_channels_last(nn.Linear(8, 8), CPU)


@pytest.mark.parametrize("kernel", [1, 2])
def test_a_run_gives_its_model_the_format_that_is_safe_and_says_so(kernel, tmp_path, caplog):
    model = tmp_path / "narrow.py"
    model.write_text(MODEL)
    run = trained(configured(tmp_path, {}, model={"name": f"{model}:Narrow", "kernel": kernel}))
    weight = run.model.widen[1].weight

    assert weight.is_contiguous() == (kernel == 1)
    assert weight.is_contiguous(memory_format=torch.channels_last) == (kernel == 2)
    caplog.clear()
    with caplog.at_level("INFO", logger="firebox"):
        messages.started(run)
    said = [text for text in caplog.messages if text.startswith("trains without channels_last")]
    assert ["shortcut" in text for text in said] == [True] * (kernel == 1)


def malloc_checks() -> dict[str, str] | None:
    """The environment in which the C library notices what is written behind the end of its memory."""
    library = next(Path("/").glob("*lib*/*/libc_malloc_debug.so.0"), None)
    if library is None or ctypes.util.find_library("c") != "libc.so.6":
        return None
    return {**os.environ, "LD_PRELOAD": str(library), "GLIBC_TUNABLES": "glibc.malloc.check=3"}


@pytest.mark.skipif(
    malloc_checks() is None or torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="needs a C library that checks its memory, and the processor that the fault was found on",
)
def test_torch_still_corrupts_memory_in_channels_last_and_not_in_the_contiguous_format():
    codes = {
        memory_format: subprocess.run(
            [sys.executable, "-c", GRADIENTS, memory_format], env=malloc_checks(), capture_output=True, timeout=120
        ).returncode
        for memory_format in ("contiguous", "channels_last")
    }

    assert codes["contiguous"] == 0
    assert codes["channels_last"] < 0, "torch has it mended: memory_format.overrunning can go"
