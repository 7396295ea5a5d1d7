"""Training and evaluation mode, each part of a model in its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode for as long as the block lasts, then each part into the mode that it had.

    ``model.train()`` would thaw the batch normalisation that a user froze by ``eval()``.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
