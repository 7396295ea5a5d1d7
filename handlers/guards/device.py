"""Guards for the device and its capabilities."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem
from firebox.handlers.terminate_on_nan import TerminateOnNaN

logger = logging.getLogger("firebox")

COMPILERS = ("g++", "clang++", "c++")


class Device(Guard):
    """Refuses a device that this machine does not have."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        name = preflight.configuration.training.device
        if absent(name):
            yield preflight.problem(
                f"got {name}, expected one that is here: {', '.join(present())}", "training", "device"
            )


class Precision(Guard):
    """Refuses a precision that the device can't compute in, and float16 without a watch for NaN."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        import torch

        training = preflight.configuration.training
        device = training.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if absent(device):
            return
        cuda = device.startswith("cuda")
        if training.precision == "bfloat16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
            message = f"got bfloat16, which {torch.cuda.get_device_name(torch.device(device))} can't compute in"
            yield preflight.problem(f"{message}; expected float16 or float32", "training", "precision")
        if training.precision == "bfloat16" and device == "cpu" and not preflight.assembled and lacks_bfloat16():
            # A warning, not a refusal: a run that was trained this way elsewhere can be continued and evaluated here.
            message = "got bfloat16, for which this processor has no instructions (avx512_bf16, amx_bf16)"
            message += ": it is slower than float32; --set training.precision=float32"
            logger.warning("%s", preflight.problem(message, "training", "precision"))
        if training.precision == "float16" and device == "cpu":
            message = "got float16, which a CPU is several times slower in than in float32"
            yield preflight.problem(f"{message}; expected bfloat16 or float32", "training", "precision")
        if training.precision == "float16" and not preflight.handlers_of(TerminateOnNaN):
            message = "got false, but training.precision float16 overflows easily, and nothing would say so"
            yield preflight.problem(f"{message}; expected it among the handlers", "handlers", "terminate_on_nan")


class Compiler(Guard):
    """Refuses to compile the model where there is no compiler."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        training = preflight.configuration.training
        if not training.compile:
            return
        lacking = _lacking_compiler(training.device)
        if lacking:
            message = f"got true, but there is no {lacking}; expected it to be installed, or false"
            yield preflight.problem(message, "training", "compile")


def _lacking_compiler(device: str) -> str | None:
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return None if importlib.util.find_spec("triton") else "triton"
    named = [os.environ["CXX"]] if os.environ.get("CXX") else list(COMPILERS)
    return None if any(map(shutil.which, named)) else f"C++ compiler ({', '.join(named)})"


def lacks_bfloat16(capabilities: Mapping[str, object] | None = None) -> bool:
    """Whether a processor is known to lack instructions for bfloat16, so that each product needs conversions.

    Args:
        capabilities: capabilities as ``torch.cpu.get_capabilities`` returns them; None for those of this machine.
    """
    if capabilities is None:
        import torch

        # Older releases of torch don't report capabilities.
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") != "x86_64":
        return False
    return not any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def absent(name: str) -> bool:
    """Whether this machine lacks a device."""
    import torch

    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match:
        return not torch.cuda.is_available() or int(match[1] or 0) >= torch.cuda.device_count()
    return name == "mps" and not torch.backends.mps.is_available()


def present() -> list[str]:
    """Returns the names of this machine's devices."""
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*devices, "mps"] if torch.backends.mps.is_available() else devices
