"""What a run takes of the user's own program while it is at work, and gives back."""

from __future__ import annotations

import multiprocessing
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy
import torch

from firebox.engine.training.devices.devices import set_up
from firebox.foundation.console import Borrowed
from firebox.foundation.problems import Problem, Refusal

_at_work = threading.Lock()


@contextmanager
def borrowed(console: Borrowed, device: torch.device | None) -> Iterator[None]:
    """Has logging, torch's settings and all global generators for the duration of the block.

    Args:
        console: the run's messages.
        device: the run's device, for which torch is set up; None if it has none yet.

    Raises:
        Refusal: another thread of this process trains a run.
    """
    if not _at_work.acquire(blocking=False):
        message = "another run is at work in this process; train one after the other, or each in a process of its own"
        raise Refusal([Problem("", message)])
    with ExitStack() as stack:
        stack.callback(_at_work.release)
        stack.enter_context(console.speaking())
        stack.enter_context(_settings_kept())
        stack.enter_context(_main_not_imported_again())
        if device is not None and device.type == "cuda":
            set_up(device)
        yield


@contextmanager
def _settings_kept() -> Iterator[None]:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.backends.cudnn.deterministic
    python, numpys = random.getstate(), numpy.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numpys)
        torch.backends.cudnn.deterministic = deterministic
        torch.set_float32_matmul_precision(precision)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def _main_not_imported_again() -> Iterator[None]:
    """Has worker processes not import the user's script, which would train in each of them.

    A process that is not forked imports the script that started it (``multiprocessing.spawn.get_preparation_data``),
    for what was pickled from there. Components are imported under names of their own, so workers need nothing of it.
    """
    main: Any = sys.modules.get("__main__")
    # Asked without a default, multiprocessing would choose one, and the program could choose no more.
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if main is None or method == "fork":
        yield
        return
    hidden = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(hidden)
