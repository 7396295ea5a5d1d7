"""Finds the run to resume: by the directory that was named, or else by its configuration."""

from __future__ import annotations

import difflib
import json
import logging
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from firebox.engine.configuration import Configuration
from firebox.engine.launch.continuity import Difference
from firebox.engine.records.claiming import copies, killed_while_claiming, never_configured
from firebox.engine.records.run_directory import RunDirectory, distinct, is_run, newest_first
from firebox.foundation.problems import Problem, Refusal, shown

logger = logging.getLogger("firebox")

LISTED = 5
"""The most runs that a message names."""
DEPTH = 3
"""Levels of folders below the one that holds all runs: data, model, version."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may be the one to resume.

    Args:
        run: its directory.
        differences: the differences between its configuration and the one given.
        unreadable: why its configuration can't be read; None if it can.
    """

    run: RunDirectory
    differences: list[Difference]
    unreadable: str | None = None

    @property
    def fits(self) -> bool:
        """Whether it is a run of the configuration given, apart from what may change."""
        return self.unreadable is None and all(difference.allowed for difference in self.differences)

    @property
    def could_fit(self) -> bool:
        """Whether it would fit if everything changeable were allowed to change."""
        return self.unreadable is None and all(difference.changeable for difference in self.differences)

    @property
    def text(self) -> str:
        """The line of a message that distinguishes it from the others."""
        status = self.run.status()
        option = f"--resume {shlex.quote(str(self.run.path))}"
        why = self.unreadable or ", ".join(
            f"{each.key} is {shown(each.recorded, 40)} there, {shown(each.given, 40)} here"
            for each in self.differences[:3]
        )
        more = f", and {len(self.differences) - 3} more" if len(self.differences) > 3 else ""
        return f"{option}: {status.state}, iteration {status.iteration}; {why}{more}"


def choose(given: Configuration, differing: Callable[[RunDirectory], list[Difference]]) -> RunDirectory | None:
    """Chooses the run of a configuration: an unfinished one before a completed one, then the newest.

    Args:
        given: the configuration given.
        differing: compares a run's configuration with it.

    Returns:
        The run; None if its start was killed before it had a directory, so that it is to be started anew.

    Raises:
        Refusal: no run fits; the message names those that come closest.
    """
    if given.output.version is not None:
        return _of_version(given)
    runs = runs_in(given.directory)
    unfinished = [run for run in runs if run.status().state != "completed"]
    completed = [run for run in runs if run not in unfinished]
    candidates = [_compared(run, differing) for run in unfinished]
    # A run of exactly this configuration comes before one with allowed differences.
    fitting = sorted((each for each in candidates if each.fits), key=lambda each: len(each.differences) > 0)
    if fitting:
        _say("the newest unfinished run of this configuration", [each.run for each in fitting])
        return fitting[0].run
    if killed_while_claiming(given):
        logger.warning("the start of this run was killed before it had a directory: starting it anew")
        return None
    for run in completed:
        candidates.append(_compared(run, differing))
        if candidates[-1].fits:
            _say("the newest run of this configuration; none is unfinished", [run])
            return run
    return _closest(given, candidates)


def runs_in(parent: Path) -> list[RunDirectory]:
    """Returns the runs in a folder, the newest first, without those that are copies of others."""
    found = distinct(entry for entry in (parent.iterdir() if parent.is_dir() else ()) if is_run(entry))
    copied = copies(found)
    for copy, original in copied.items():
        logger.info(
            "%s is a copy of %s and left alone; --resume %s continues it", copy, original.name, shlex.quote(str(copy))
        )
    return newest_first(RunDirectory(path) for path in found if path not in copied)


def _of_version(given: Configuration) -> RunDirectory | None:
    """Returns the run of the version that the configuration names."""
    path = given.directory / str(given.output.version)
    if is_run(path) or never_configured(path):
        _say("the version that the configuration names", [RunDirectory(path)])
        return RunDirectory(path)
    if killed_while_claiming(given):
        logger.warning("the start of %s was killed before it had its directory: starting it anew", path)
        return None
    known = listed(runs_in(given.directory), given.output.version)
    message = f"no run {path} to resume; {known}, or start it without --resume"
    raise Refusal([Problem("output.version", message, given.mark("output", "version"))])


def _compared(run: RunDirectory, differing: Callable[[RunDirectory], list[Difference]]) -> Candidate:
    try:
        return Candidate(run, differing(run))
    except Refusal as refusal:
        return Candidate(run, [], f"its configuration can't be read: {refusal.problems[0]}")


def _closest(given: Configuration, candidates: list[Candidate]) -> RunDirectory:
    """Returns the only run that can be meant although it differs, so that it is refused key by key.

    Raises:
        Refusal: there is no such run, or more than one.
    """
    parent = given.directory
    could_fit = [each for each in candidates if each.could_fit]
    meant = [each for each in could_fit if each.run.status().state != "completed"] or could_fit or candidates
    if len(meant) == 1 and meant[0].unreadable is None:
        return meant[0].run
    if not candidates:
        message = f"--resume: no run in {parent}; start one without --resume"
        left = [path for path in sorted(parent.iterdir()) if never_configured(path)] if parent.is_dir() else []
        if left:
            option = f"--resume {shlex.quote(str(left[-1]))}"
            message += f", or start over in {left[-1].name}, where a start was killed: {option}"
        raise Refusal([Problem("", message)])
    closest = sorted(candidates, key=lambda each: (each.unreadable is not None, len(each.differences)))[:LISTED]
    count = f"{len(closest)} of the {len(candidates)}" if len(closest) < len(candidates) else f"the {len(candidates)}"
    message = f"--resume: no run in {parent} has this configuration; start one without --resume, or continue one of "
    message += f"{count} there with its own configuration, naming it and no configuration:"
    raise Refusal([Problem("", message), *(Problem("", each.text) for each in closest)])


def not_a_run(wanted: str, *, folder: Path, command: Callable[[Path], str]) -> Refusal:
    """Returns the refusal of a path that is not a run's directory, with the command to type instead.

    Args:
        wanted: path that was named.
        folder: folder of the runs of the configuration given.
        command: function that returns the command to continue the newest run of a configuration file.
    """
    try:
        instead = _instead(Path(wanted), folder, command)
    except OSError as error:
        instead = f"it can't be looked at: {error.strerror}"
    return Refusal([Problem("", f"--resume {wanted}: not a run's directory; {instead}")])


def _instead(path: Path, folder: Path, command: Callable[[Path], str]) -> str:
    around = next((parent for parent in path.parents if is_run(parent)), None)
    if around is not None:
        what = "this is inside a run, which goes on from its newest valid checkpoint"
        return f"{what}; expected --resume {shlex.quote(str(around))}"
    card = next((place / "card.json" for place in (path, *path.parents) if (place / "card.json").is_file()), None)
    if card is not None:
        source = _archived(card)
        what = "an archive has a model and not the state that training goes on from"
        return f"{what}; expected " + ("a run" if source is None else f"its run: --resume {shlex.quote(str(source))}")
    if path.is_file():
        if path.suffix in (".yaml", ".yml"):
            return f"this is a configuration; to continue the newest run of it: {command(path)}"
        return f"this is a file; {listed(runs_in(folder))}"
    below = _runs_below(path) if path.is_dir() else []
    if below:
        return f"this is a folder of runs; {listed(below)}"
    what = "there is no such folder" if not path.is_dir() else "there is no run in it, expected one with config.yaml"
    return f"{what}; {listed(_runs_below(path.parent) or runs_in(folder), path.name)}"


def _archived(card: Path) -> Path | None:
    """Returns the run from which an archive was made; None if it is unknown or gone."""
    try:
        source = Path(json.loads(card.read_text(encoding="utf-8"))["run"]["directory"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return source if is_run(source) else None


def _runs_below(folder: Path) -> list[RunDirectory]:
    """Returns the runs up to a few levels below a folder, unfinished ones first, then the newest."""
    found = [path.parent for depth in range(1, DEPTH + 1) for path in folder.glob("*/" * depth + "config.yaml")]
    runs = newest_first(RunDirectory(path) for path in distinct(filter(is_run, found)))
    return sorted(runs, key=lambda run: run.status().state == "completed")


def listed(runs: Iterable[RunDirectory], name: str | None = None) -> str:
    """Returns the end of a message that says how to continue one of several runs, that of a similar name first.

    Args:
        runs: runs, the most likely one first.
        name: name that was typed; None if it is of no help.
    """
    found = list(runs)
    if not found:
        return "no run was found instead"
    close = difflib.get_close_matches(name or "", [run.path.name for run in found], n=1, cutoff=0.6)
    found.sort(key=lambda run: run.path.name not in close)
    options = [f"--resume {shlex.quote(str(run.path))} ({run.status().state})" for run in found[:LISTED]]
    more = f", and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"expected {'one of: ' if len(found) > 1 else ''}{', '.join(options)}{more}"


def _say(why: str, fitting: list[RunDirectory]) -> None:
    others = f"; also unfinished: {', '.join(run.path.name for run in fitting[1:])}" if len(fitting) > 1 else ""
    logger.info("resuming %s: %s%s", fitting[0].path, why, others)
