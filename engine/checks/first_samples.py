"""A look at a run's first samples before anything is written."""

from __future__ import annotations

from firebox.data.declarations.data_error import DataError
from firebox.data.sources.samples import faults_of_samples, faults_of_targets
from firebox.engine.training.run import Run
from firebox.foundation.problems import Problem, Refusal, in_one_line

LOOKED_AT = 8


def require_first_samples(run: Run) -> None:
    """Reads the first samples of each split, and all targets if they are in memory.

    Raises:
        Refusal: samples can't be read, or differ from what the data declares.
    """
    specification, kind = run.data.specification, run.configuration.data.kind
    mark = run.configuration.mark(kind, "name")
    for split, stream in run.streams.items():
        try:
            batch = stream.first(LOOKED_AT)
        except DataError as error:
            raise Refusal([Problem(kind, str(error), mark)]) from None
        except Exception as error:  # of a user's own data set
            raise Refusal([Problem(kind, f"its {split} split: {in_one_line(error)}", mark)]) from error
        faults = list(faults_of_samples(batch.images, batch.targets, specification))
        if not faults and stream.held_targets is not None and specification.target is not None:
            faults = list(faults_of_targets(stream.held_targets, specification.target, specification.shape))
        if batch.targets is None and run.module.takes:
            faults.append("its samples have no targets, which the module needs")
        if faults:
            raise Refusal([Problem(kind, f"its {split} split: {fault}", mark) for fault in faults])
