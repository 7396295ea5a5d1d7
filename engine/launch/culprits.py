"""The origin of an error: the part of the run, and the place in the user's own code."""

from __future__ import annotations

from types import FrameType
from typing import Any

from firebox.engine.configuration import Configuration
from firebox.foundation.places import frames_of, is_own, own_place
from firebox.foundation.problems import in_one_line


def told(error: BaseException, configuration: Configuration) -> str | None:
    """Describes an error of a user's own code on one line: the part of the run, the exception, and the place.

    Returns:
        The line; None if the error passed through none of the user's own code.
    """
    place = own_place(error)
    if place is None:
        return None
    who = _part(error, configuration)
    return f"{who + ': ' if who else ''}{in_one_line(error)} ({place})"


def _part(error: BaseException, configuration: Configuration) -> str | None:
    """Returns the part whose method the innermost own code is or was called by; None if there is no such part."""
    found, candidate = None, None
    for frame, _ in frames_of(error):
        if frame.f_code.co_qualname == "Background._work":
            candidate = None  # the frames so far only waited for the writing thread
        candidate = _named(frame.f_locals.get("self"), configuration) or candidate
        if is_own(frame):
            found = candidate = _surrounding(frame, configuration) or candidate
    return found


def _surrounding(frame: FrameType, configuration: Configuration) -> str | None:
    """The handler in whose method a function without ``self`` stands, such as a lambda that it registered."""
    name, _, inner = frame.f_code.co_qualname.partition(".")
    kind = frame.f_globals.get(name) if inner else None
    return next((f"handlers.{n.written}" for n in configuration.handlers if n.component.target.load() is kind), None)


def _named(owner: Any, configuration: Configuration) -> str | None:
    import torch
    from ignite.metrics import Metric

    from firebox.engine.training.bases.handler import Handler
    from firebox.engine.training.bases.module import Module

    if isinstance(owner, Handler):
        return next((f"handlers.{n.written}" for n in configuration.handlers if _is(n, owner)), "scheduler")
    if isinstance(owner, Metric):
        return f"the metric {type(owner).__name__}"
    if isinstance(owner, Module):
        return f"module {configuration.module.written}"
    if isinstance(owner, torch.optim.Optimizer):
        return f"optimizer {configuration.optimizer.written}"
    return f"model {configuration.model.written}" if isinstance(owner, torch.nn.Module) else None


def _is(named: Any, owner: object) -> bool:
    return named.component.target.load() is type(owner)
