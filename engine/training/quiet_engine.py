"""Ignite's engine, silent where nobody listens."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


class QuietEngine(Engine):
    """An engine that spends nothing on the events that no handler is attached to.

    Ignite writes a debug message for every event that it fires, whatever the log level; with nobody listening, that is
    half of what its loop costs.
    """

    def _fire_event(self, event_name: Any, *event_args: Any, **event_kwargs: Any) -> None:
        if self._event_handlers[event_name]:
            super()._fire_event(event_name, *event_args, **event_kwargs)
        else:
            self.last_event_name = event_name
