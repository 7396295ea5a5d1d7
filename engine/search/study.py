"""A sweep's study: its trials in an SQLite file, each of which one process at a time trains.

Optuna chooses the settings and keeps the trials. Which process has a trial says a lock, which ends with the process,
however that ends: a trial that is running in the study and not locked was cut off, and is taken up again before any
other. What a sampler draws is a function of its seed and the trial's number, so that nothing is lost with a process.
"""

from __future__ import annotations

import fcntl
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.extras import required
from firebox.engine.launch.continuity import differences
from firebox.engine.records.lock import Lock
from firebox.engine.search.sweep_file import Assigned, Range, Sweep, Values
from firebox.foundation.problems import Problem, Refusal, refuse, shown
from firebox.foundation.randomness import mix

if TYPE_CHECKING:
    import optuna

DATABASE = "study.db"
NAME = "sweep"
"""Name of the study in its file, which holds no other."""
REASON, PRUNED, PROCESS, DEATHS = "reason", "pruned_at", "process", "deaths"
"""What is kept of a trial beside its settings: why it failed, the iteration at which it was pruned, the process that
trains it, and how often such a process died."""
SWEEP = "sweep"
MOST_DEATHS = 2
"""How often the process of a trial may die of itself before the trial counts as failed."""
WAITING_SECONDS = 600.0
"""How long a process waits for others that write to the study."""
_TRIAL = re.compile(r"trial_(\d+)")


@dataclass(frozen=True, slots=True)
class Taken:
    """A trial that this process has.

    Args:
        trial: Optuna's trial.
        lock: the lock on it.
        resumed: whether it was cut off before.
    """

    trial: optuna.trial.Trial
    lock: Lock
    resumed: bool


def require_optuna() -> None:
    """Refuses to search without Optuna.

    Raises:
        Refusal: it is not installed.
    """
    _optuna()


def version(number: int) -> str:
    """Returns the name of a trial's run, which is its output.version."""
    return f"trial_{number:04d}"


def load(folder: Path) -> optuna.Study:
    """Opens the study in a sweep's folder."""
    study: optuna.Study = _optuna().load_study(study_name=NAME, storage=_storage(folder))
    return study


def trial_of(run: Path) -> optuna.trial.Trial | None:
    """Returns the trial that a run's directory belongs to; None if the run is none of a sweep."""
    path = run.resolve()
    folder, match = path.parents[3], _TRIAL.fullmatch(path.name)
    if match is None or not (folder / DATABASE).is_file():
        return None
    study = load(folder)
    frozen = study.get_trials(deepcopy=False)
    number = int(match[1])
    return _optuna().trial.Trial(study, frozen[number]._trial_id) if number < len(frozen) else None


def begin(sweep: Sweep, refused: Mapping[int, str] | None = None) -> optuna.Study:
    """Creates the study of a sweep, or opens the one that was begun; the caller has the sweep's turn.

    Args:
        sweep: the sweep.
        refused: why settings of a grid can't work, by their number; they become failed trials.

    Raises:
        Refusal: the study was begun with another sweep.
    """
    direction = {"min": "minimize", "max": "maximize"}[sweep.settings.mode]
    sweep.folder.mkdir(parents=True, exist_ok=True)
    storage = _storage(sweep.folder)
    study: optuna.Study = _optuna().create_study(
        study_name=NAME, storage=storage, direction=direction, load_if_exists=True
    )
    identity = json.loads(json.dumps(sweep.identity))
    before = study.user_attrs.get(SWEEP)
    if before is None:
        study.set_user_attr(SWEEP, identity)
    else:
        changed = differences(before, identity)
        expected = "expected the same, or another folder: set folder in the sweep's file"
        refuse(
            [
                Problem(k, f"got {shown(now)}, but the sweep was begun with {shown(b)}; {expected}")
                for k, b, now in changed
            ]
        )
    if sweep.is_grid and refused is not None:
        _add_grid(study, sweep, refused)
    return study


def _add_grid(study: optuna.Study, sweep: Sweep, refused: Mapping[int, str]) -> None:
    """Adds all trials of a grid, from where an earlier start was killed: those that can't work as failed ones."""
    optuna, settings = _optuna(), sweep.grid()
    for number in range(len(study.get_trials(deepcopy=False)), sweep.number):
        place = number // sweep.settings.seeds
        if place not in refused:
            study.enqueue_trial(dict(settings[place]))
            continue
        failed = optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL,
            params=dict(settings[place]),
            distributions=_distributions(sweep.space),
            user_attrs={REASON: refused[place]},
        )
        study.add_trial(failed)


def take(sweep: Sweep, study: optuna.Study) -> Taken | int:
    """Takes a trial: one that was cut off, or else a new one.

    Returns:
        The trial; the number of those that other processes are training if there is none to take.
    """
    optuna = _optuna()
    state, others = optuna.trial.TrialState, 0
    with turn(sweep.folder):
        trials = study.get_trials(deepcopy=False)
        for known in trials:
            if known.state == state.RUNNING:
                lock = _lock(sweep.folder, known.number)
                if lock.is_held():
                    others += 1
                    continue
                lock.take()
                study.sampler = _sampler(sweep, known.number)
                trial = optuna.trial.Trial(study, known._trial_id)
                _suggest(trial, sweep.space)
                return Taken(trial, lock, resumed=True)
        waiting = [each.number for each in trials if each.state == state.WAITING]
        if not waiting and len(trials) >= sweep.number:
            return others
        number = waiting[0] if waiting else len(trials)
        if not waiting and number % sweep.settings.seeds:
            study.enqueue_trial(trials[number - number % sweep.settings.seeds].params)
        lock = _lock(sweep.folder, number)
        lock.take()
        study.sampler = _sampler(sweep, number)
        trial = study.ask(_distributions(sweep.space))
        assert trial.number == number
        return Taken(trial, lock, resumed=False)


def name_of(process: int) -> str:
    """Returns the name of a process of this machine, unique among machines that share a sweep."""
    return f"{socket.gethostname()} {process}"


def note_death(folder: Path, process: int, how: str) -> None:
    """Notes that a process of this machine died of itself; a trial that this happens to again has failed."""
    study, states = load(folder), _optuna().trial.TrialState
    for known in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        if known.user_attrs.get(PROCESS) == name_of(process):
            trial = _optuna().trial.Trial(study, known._trial_id)
            deaths = known.user_attrs.get(DEATHS, 0) + 1
            trial.set_user_attr(DEATHS, deaths)
            if deaths >= MOST_DEATHS:
                trial.set_user_attr(REASON, f"its process died {deaths} times, the last time of {how}")
                study.tell(known.number, state=states.FAIL)


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Waits until no other process takes a trial or begins the study."""
    with (folder / ".turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock(folder: Path, number: int) -> Lock:
    locks = folder / "locks"
    locks.mkdir(exist_ok=True)
    return Lock(locks / version(number))


def _suggest(trial: optuna.trial.Trial, space: Mapping[str, Values]) -> None:
    """Gives a trial the values that it lacks because its process was killed between two of them."""
    for key, values in space.items():
        if not isinstance(values, Range):
            trial.suggest_categorical(key, values)
        elif values.whole:
            trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
        else:
            trial.suggest_float(key, values.low, values.high, log=values.log)


def assigned_by(trial: optuna.trial.Trial) -> Assigned:
    """Returns the values of a trial by dotted key."""
    return trial.params


def _distributions(space: Mapping[str, Values]) -> dict[str, optuna.distributions.BaseDistribution]:
    return {key: _distribution(values) for key, values in space.items()}


def _distribution(values: Values) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _sampler(sweep: Sweep, number: int) -> optuna.samplers.BaseSampler:
    """Returns the sampler of a trial, which draws by the trial's number; those of a grid have nothing to draw."""
    from optuna.samplers import RandomSampler, TPESampler

    kind = TPESampler if sweep.settings.sampler == "tpe" else RandomSampler
    return kind(seed=mix(sweep.settings.seed, "trial", number) % 2**32)


def _storage(folder: Path) -> Any:
    timeout = {"connect_args": {"timeout": WAITING_SECONDS}}
    return _optuna().storages.RDBStorage(f"sqlite:///{folder.absolute() / DATABASE}", engine_kwargs=timeout)


def _optuna() -> Any:
    """Returns Optuna, which says only what goes wrong.

    Raises:
        Refusal: it is not installed.
    """
    try:
        optuna = required("optuna", "search", "a sweep")
    except DataError as error:
        raise Refusal([Problem("", str(error))]) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
