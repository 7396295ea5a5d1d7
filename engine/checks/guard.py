"""The base class of guards: handlers that refuse, before the first batch, what can't work."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from firebox.engine.checks.preflight import Preflight, Unavailable
from firebox.engine.components.targets import Target
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.foundation.problems import Problem, in_one_line, in_order, refuse

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")


class Guard(Handler):
    """A check of one concern. The first line of a subclass's docstring says what it refuses.

    A guard listed in a configuration's ``handlers`` runs beside the built-in ones: before the training, on a run
    rehearsed on fake tensors, and again when the trainer engine starts, so that an Engine used from Python is
    protected, too.
    """

    phase = Phase.STEP
    looks_at_machine: ClassVar[bool] = False
    """Whether it looks at what differs from one machine to another. A replay is of a run that all guards have passed:
    these alone check it."""

    @abstractmethod
    def check(self, preflight: Preflight) -> Iterator[Problem]:
        """Yields what can't work, each made by ``preflight.problem``. Reads no data and writes nothing.

        The check ends silently where it asks ``preflight`` for something that failed and has been reported already.
        """

    def attach(self, run: Run) -> None:
        """Schedules the check for the start of the trainer engine."""
        from ignite.engine import Events

        run.trainer.add_event_handler(Events.STARTED, partial(refuse_run, run, [self]))


def built_in() -> dict[str, Guard]:
    """Returns the guards that always run, by name."""
    catalogue: dict[str, str] = import_module("firebox.handlers.guards").CATALOGUE
    return {name: Target.parse(reference).load()() for name, reference in catalogue.items()}


def attach_guards(run: Run) -> None:
    """Schedules all built-in guards for the start of the trainer engine, with a single report."""
    from ignite.engine import Events

    run.trainer.add_event_handler(Events.STARTED, lambda: refuse_run(run, list(built_in().values())))


def refuse_run(run: Run, guards: list[Guard]) -> None:
    """Checks an assembled run as far as is possible without a step.

    Raises:
        Refusal: the problems that the guards found.
    """
    preflight = Preflight(run.configuration, run=run)
    refuse(in_order([problem for guard in guards for problem in findings(guard, preflight)[0]]))


def own_guards(preflight: Preflight) -> Iterator[tuple[str, Guard]]:
    """Yields the guards that the configuration lists among its handlers."""
    for attached in preflight.handlers_of(Guard):
        guard = preflight.built(attached)
        if isinstance(guard, Guard):
            yield attached.named.component.short_name, guard


def findings(guard: Guard, preflight: Preflight) -> tuple[list[Problem], bool]:
    """Returns the problems that a guard finds, and whether its check ran to the end."""
    found: list[Problem] = []
    try:
        found.extend(guard.check(preflight))
    except Unavailable:
        return found, False
    except Exception as error:
        if type(guard).__module__.startswith("firebox.handlers.guards."):
            raise
        name = type(guard).__name__
        logger.debug("the guard %s fails", name, exc_info=True)
        found.append(Problem("handlers", f"the guard {name} fails: {in_one_line(error)}", None))
    return found, True


def concern(guard: Guard) -> str:
    """Returns the first line of a guard's docstring."""
    lines = (type(guard).__doc__ or "").strip().splitlines()
    return lines[0].removeprefix("Refuses ").removesuffix(".") if lines else ""
