"""Guards for handlers that conflict with each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, setting


class HandlersConflict(Guard):
    """Refuses two handlers of one name, and two that write the same file."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        named = preflight.configuration.handlers
        clash = False
        for first, second in combinations(named, 2):
            if first.component.short_name == second.component.short_name:
                clash = True
                message = (
                    f"has the same name as {first.written}, which its state is saved under; expected another class name"
                )
                yield preflight.problem(message, "handlers", second.written)
        if clash:
            return
        handlers = preflight.run.handlers
        for first, second in combinations(named, 2):
            one, other = (handlers.get(part.component.short_name) for part in (first, second))
            shared = sorted(set(getattr(one, "writes", ())) & set(getattr(other, "writes", ())))
            if shared:
                message = f"writes {shared[0]}, which {first.written} writes, too; expected one of them: "
                way_out = setting(f"handlers.{first.written}", "false")
                yield preflight.problem(message + way_out, "handlers", second.written)
