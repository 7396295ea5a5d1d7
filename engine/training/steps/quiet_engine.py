"""Ignite's engine without the cost of messages and events that nobody uses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from ignite.engine import Engine
from ignite.engine.events import RemovableEventHandle

from firebox.foundation.observing import observed


class QuietEngine(Engine):
    """An engine that spends nothing on what nobody asked for: messages, and events that have no handlers.

    Ignite writes a debug message for every event that it fires, whatever the log level, and makes a generator after
    each to see whether it is to end: together that is more than half of what its loop costs.
    """

    def add_event_handler(
        self, event_name: Any, handler: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> RemovableEventHandle:
        return super().add_event_handler(event_name, observed(handler), *args, **kwargs)

    def _fire_event(self, event_name: Any, *event_args: Any, **event_kwargs: Any) -> None:
        self.last_event_name = event_name
        for function, args, kwargs in self._event_handlers[event_name]:
            kwargs.update(event_kwargs)
            if args and isinstance(args[0], weakref.ref):
                function(self, *event_args, *args[1:], **kwargs)
            else:
                function(*event_args, *args, **kwargs)

    def _maybe_terminate_or_interrupt(self) -> Iterable[Any]:  # type: ignore[override]
        if self.should_terminate or self.should_terminate_single_epoch or self.should_interrupt:
            return super()._maybe_terminate_or_interrupt()
        return ()
