"""Whether a resumed run is still the same run: its configuration and its code, compared with those given."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firebox.engine.configuration import Configuration, plain
from firebox.engine.configuration.identity import CHANGEABLE as CHANGEABLE_KEYS
from firebox.engine.configuration.identity import aligned, parts_of
from firebox.engine.configuration.paths import names_file
from firebox.engine.configuration.plain_values import comparable
from firebox.engine.configuration.values import Unreadable, handlers_of, recorded_values
from firebox.engine.records.own_code import CODE, DamagedCode, OwnCode, PartCode, code_of, read_code
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.problems import Problem, Refusal, refuse, setting, shown

logger = logging.getLogger("firebox")

CHANGEABLE = (*CHANGEABLE_KEYS, "code", "configuration", "data", "threads", "versions")
"""The keys that ``--allow-change`` accepts. If they change, the run stays one run, but no longer equal to the bit."""

SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """A key in which a run's configuration differs from the one given.

    Args:
        key: dotted key.
        recorded: the run's value.
        given: value given now.
        allowed: whether the command line allows the change.
        changeable: whether the key can change at all.
    """

    key: str
    recorded: Any
    given: Any
    allowed: bool
    changeable: bool


def covered(key: str, keys: Sequence[str]) -> bool:
    """Whether a dotted key, or its name in the data's section, is one of ``keys`` or below one of them."""
    section, _, name = key.partition(".")
    short = name if section in ("datamodule", "datagenerator") else key
    return any(candidate == k or candidate.startswith(f"{k}.") for k in keys for candidate in (key, short))


def differences(recorded: Any, given: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Returns the dotted keys in which two plain configurations differ, with both values."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        found = []
        for name in dict.fromkeys([*recorded, *given]):
            dotted = f"{key}.{name}" if key else name
            found += differences(recorded.get(name), given.get(name), dotted)
        return found
    return [] if recorded == given else [(key, recorded, given)]


def differing(directory: RunDirectory, given: Configuration, allowed: Sequence[str]) -> list[Difference]:
    """Returns the keys in which a run's configuration differs from the one given, without importing what they name.

    Raises:
        Refusal: the run's configuration can't be read.
    """
    try:
        values = recorded_values(directory.configuration)
    except Unreadable as error:
        raise Refusal([Problem("", str(error))]) from None
    return _compared(directory, values, given, allowed)[0]


def _compared(
    directory: RunDirectory, values: dict[str, Any], given: Configuration, allowed: Sequence[str]
) -> tuple[list[Difference], list[str]]:
    """Returns the differences, and messages about paths that only moved."""
    recorded, said = aligned(comparable(values), given, directory.path)
    found = differences(recorded, comparable(plain(given)))
    return [
        Difference(key, before, now, allowed=covered(key, allowed), changeable=covered(key, CHANGEABLE))
        for key, before, now in found
    ], list(said)


def refuse_another_version(directory: RunDirectory, given: Configuration) -> None:
    """Refuses to resume a run under the name of another version.

    Raises:
        Refusal: the configuration given names another version.
    """
    try:
        output = recorded_values(directory.configuration).get("output")
    except Unreadable:
        output = None
    recorded = output.get("version") if isinstance(output, dict) else None
    version, name = given.output.version, directory.path.resolve().name
    if version not in (None, recorded, name):
        message = f"got {version}, but --resume is of {name}; expected {name}, or --resume without a directory"
        raise Refusal([Problem("output.version", message, given.mark("output", "version"))])


def refuse_differences(directory: RunDirectory, given: Configuration, allowed: Sequence[str]) -> None:
    """Compares a run's configuration and code with those that it is to continue with, without importing either.

    Args:
        directory: directory of the run.
        given: configuration to continue with.
        allowed: keys in which the two may differ.

    Raises:
        Refusal: something differs that may not; the refusal has all differences.
    """
    problems = [
        Problem("", f"--allow-change {key}: can't be changed in a run; expected one of: {', '.join(CHANGEABLE)}")
        for key in allowed
        if not covered(key, CHANGEABLE)
    ]
    code, values = _known(directory)
    problems += _configurations(directory, values, given, allowed)
    if code is not None:
        problems += _codes(directory, code, given, allowed)
    refuse(problems)


def lost_handlers(directory: RunDirectory) -> list[str]:
    """Returns the assignments that leave out those handlers of a run whose files are gone, and warns of each."""
    try:
        handlers = handlers_of(recorded_values(directory.configuration))
    except Unreadable:
        return []
    found = []
    for name in handlers:
        file = directory.path / name.rpartition(":")[0]
        if names_file(name) and not any(place.is_file() for place in (file, Path(name.rpartition(":")[0]))):
            logger.warning("handlers: %s is left out: its file is gone", name)
            found.append(f"handlers.{name}=false")
    return found


def with_kept_code(refusal: Refusal, directory: RunDirectory) -> Refusal:
    """Returns a refusal of a run's own configuration that also proposes the kept code for files that are gone."""
    try:
        known = read_code(directory.path / CODE)
    except DamagedCode:
        known = None
    parts = {} if known is None else known[0].parts
    return Refusal([_with_kept_code(problem, parts, directory.path) for problem in refusal.problems])


def _with_kept_code(problem: Problem, parts: Mapping[str, PartCode], run: Path) -> Problem:
    if "no such file" not in problem.message:
        return problem
    if problem.key.startswith("handlers."):
        way_out = f"leave it out: {setting(problem.key, 'false')} --allow-change handlers"
        return Problem(problem.key, f"{problem.message}; {way_out}", problem.mark)
    part = parts.get(problem.key) or parts.get(problem.key.removesuffix(".name"))
    if part is None:
        return problem
    way_out = f"the run kept its own: {setting(problem.key, str(run.absolute() / part.reference))}"
    return Problem(problem.key, f"{problem.message}; {way_out}", problem.mark)


def _known(directory: RunDirectory) -> tuple[OwnCode | None, dict[str, Any]]:
    """Returns a run's own code, None if it was not recorded, and the values of its configuration."""
    try:
        known = read_code(directory.path / CODE)
    except DamagedCode as error:
        logger.warning("the code that the run kept is damaged: %s; its configuration alone is compared", error)
        known = None
    try:
        written = recorded_values(directory.configuration)
    except Unreadable as error:
        if known is None or known[1] is None:
            raise Refusal([Problem("", f"{error}; the run can't be compared with what is given")]) from None
        logger.warning("%s; written anew", error)
        written = known[1]
    if known is None:
        return None, written
    code, values = known
    if values is not None and values != written:
        keys = ", ".join(key for key, *_ in differences(values, written)) or "its form"
        logger.warning("%s was edited after the run wrote it: %s", directory.configuration, keys)
    return code, written if values is None else values


def _configurations(
    directory: RunDirectory, values: dict[str, Any], given: Configuration, allowed: Sequence[str]
) -> Iterator[Problem]:
    found, said = _compared(directory, values, given, allowed)
    for text in said:
        logger.info("%s", text)
    marks = {f"handlers.{_by_class(named.name)}": named.mark for named in given.handlers}
    for each in found:
        key, before, now = each.key, shown(each.recorded), shown(each.given)
        if each.allowed:
            logger.info("%s: changed from %s to %s", key, before, now)
            continue
        proposed = f"--allow-change {shlex.quote(key)}"
        way_out = proposed if each.changeable else "start a new run without --resume"
        message = f"the run has {before} ({directory.configuration}), now {now}; expected the same, or {way_out}"
        yield Problem(key, message, given.mark(*key.split(".")) or marks.get(key))


def _by_class(name: str) -> str:
    return name.rpartition("/")[2]


def _codes(
    directory: RunDirectory, recorded: OwnCode, given: Configuration, allowed: Sequence[str]
) -> Iterator[Problem]:
    now, marks = code_of(given), {key: named.mark for key, named in parts_of(given)}
    for key in recorded.parts.keys() & now.parts.keys():
        changed = list(_changed(recorded.digests_of(key), now.digests_of(key)))
        if not changed:
            continue
        what = ", ".join(changed)
        if "code" in allowed or covered(key, allowed):
            logger.warning("%s: its code has changed: %s", key, what)
            continue
        kept = directory.path / CODE / recorded.parts[key].folder
        message = f"its code has changed since the run began: {what}; expected the code that is kept in {kept}"
        yield Problem(key, f"{message}, or --allow-change code", marks[key])


def _changed(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *now]):
        if name not in now:
            yield f"{name} is no longer imported"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != now[name]:
            yield f"{name} (SHA-256 {before[name][:SHOWN_DIGITS]}, now {now[name][:SHOWN_DIGITS]})"
