"""What every guard is: a handler that refuses a combination that can't work, before the first batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from engine.handler import Handler, Phase
from engine.problems import Problem, in_order, refuse
from engine.signatures import Target

if TYPE_CHECKING:
    from engine.preflight import Preflight
    from engine.run import Run


class Guard(Handler):
    """One concern. The first line of a subclass's docstring says what it refuses.

    A guard listed in a configuration's ``handlers`` runs beside the built-in ones: before the training, on a run
    rehearsed on fake tensors, and again when the trainer engine starts, so that an Engine used from Python is
    protected, too.
    """

    phase = Phase.STEP

    @abstractmethod
    def check(self, preflight: Preflight) -> Iterator[Problem]:
        """Yields what can't work, each made by ``preflight.problem``. Reads no data and writes nothing.

        What ``preflight`` can't give, because it failed and is reported already, ends the check silently.
        """

    def attach(self, run: Run) -> None:
        """Has the check made when the trainer engine starts."""
        from ignite.engine import Events

        run.trainer.add_event_handler(Events.STARTED, partial(refuse_run, run, [self]))


def built_in() -> dict[str, Guard]:
    """Returns the guards that always run, by name."""
    catalogue: dict[str, str] = import_module("handlers.guards").CATALOGUE
    return {name: Target.parse(reference).load()() for name, reference in catalogue.items()}


def attach_built_in(run: Run) -> None:
    """Has all built-in guards make their checks when the trainer engine starts, for one report."""
    from ignite.engine import Events

    run.trainer.add_event_handler(Events.STARTED, lambda: refuse_run(run, list(built_in().values())))


def refuse_run(run: Run, guards: list[Guard]) -> None:
    """Checks a run that has been assembled, as far as it can be without a step.

    Raises:
        Refusal: with what all of the guards found.
    """
    from engine.preflight import Preflight, findings

    preflight = Preflight(run.configuration, run=run)
    refuse(in_order([problem for guard in guards for problem in findings(guard, preflight)[0]]))
