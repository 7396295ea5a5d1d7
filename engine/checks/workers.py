"""A look at whether worker processes can read the run's data, before anything is written."""

from __future__ import annotations

from firebox.data.declarations.data_error import DataError
from firebox.engine.training.limits.watch import Overdue
from firebox.engine.training.run import Run
from firebox.foundation.problems import Problem, Refusal, TrainingFailure


def require_workers(run: Run, *, begin: bool) -> None:
    """Tries whether all splits can be handed to workers.

    Args:
        run: the assembled run.
        begin: whether to start those of the train split, too, because it is known where the run begins.

    Raises:
        Refusal: they can't be handed over, or workers can't be started.
    """
    kind = run.configuration.data.kind
    try:
        for stream in run.streams.values():
            stream.require_handover()
        if begin:
            run.streams["train"].begin()
    except Overdue:
        raise
    except (DataError, TrainingFailure) as error:
        run.streams["train"].close()
        raise Refusal([Problem(f"{kind}.workers", str(error), run.configuration.mark(kind, "workers"))]) from None
