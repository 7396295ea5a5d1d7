"""What came of a sweep: its runs, the best first, and the trials that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firebox.engine.search import study as studies
from firebox.engine.search.sweep_file import Sweep
from firebox.engine.search.trial import directory_of
from firebox.foundation.exit_codes import COMPLETED, FAILED


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trials of a sweep.

    Args:
        runs: directories of the runs, the best first; those that were pruned come after the completed ones, and those
            that failed last.
        failures: a line for each failed trial, with its reason.
        exit_code: whether any trial was completed.
    """

    runs: Sequence[Path]
    failures: Sequence[str]
    exit_code: int


def outcome_of(sweep: Sweep) -> Outcome:
    """Reads the trials of a sweep."""
    from optuna.trial import TrialState

    trials = studies.load(sweep.folder).get_trials(deepcopy=False)
    order = [TrialState.COMPLETE, TrialState.PRUNED]
    sign = 1 if sweep.settings.mode == "min" else -1
    ranked = sorted(
        trials,
        key=lambda trial: (
            order.index(trial.state) if trial.state in order else len(order),
            sign * trial.value if trial.value is not None else 0.0,
        ),
    )
    directories = [directory_of(sweep, trial.number) for trial in ranked]
    failures = [
        f"{studies.version(trial.number)} failed: {trial.user_attrs.get(studies.REASON)}"
        for trial in trials
        if trial.state == TrialState.FAIL
    ]
    completed = any(trial.state == TrialState.COMPLETE for trial in trials)
    return Outcome([path for path in directories if path is not None], failures, COMPLETED if completed else FAILED)
