"""The construction of a run's components, and the refusal of what fails in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firebox.data.declarations.data_error import DataError
from firebox.engine.configuration import Named
from firebox.engine.training.bases.families import made
from firebox.engine.training.limits.watch import Overdue
from firebox.foundation.problems import Problem, Refusal, in_one_line


def construct(named: Named, key: str, *injected: object, **injected_by_name: object) -> Any:
    """Constructs a component; what is no such component, or fails in its constructor, is refused with its place."""
    parts = {name: construct(part, f"{key}.{name}") for name, part in named.parts.items()}
    with blamed(named, key):
        return made(named, *injected, **injected_by_name, **parts)


@contextmanager
def blamed(named: Named, key: str) -> Iterator[None]:
    """Refuses what a component raises in the block, with the place that names the component."""
    try:
        yield
    except (Refusal, Overdue):
        raise
    except (Exception, SystemExit) as error:
        message = str(error) if isinstance(error, DataError) else in_one_line(error)
        raise Refusal([Problem(key, message, named.mark)]) from error
