"""The claim of a run's directory: it appears whole, under its name and with its configuration, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from firebox.engine.configuration import Configuration, plain
from firebox.engine.configuration.plain_values import comparable
from firebox.engine.records.run_directory import STARTING, RunDirectory, distinct, is_run
from firebox.foundation.files import sync_folder, write_whole
from firebox.foundation.problems import Problem, Refusal

CLAIM = "claim.json"
_NAMED_AFTER_DIGEST = re.compile(r"\.starting_[0-9a-f]{16}_[0-9a-f]{32}")
_DAY = 86400.0
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""How a file system says that a directory can't be renamed to a name because something has that name."""
_OF_A_START = frozenset({".lock", "status.json", ".status.json.writing", "log.txt", ".config.yaml.writing"})
"""What a directory can hold before it has a configuration, if it was not claimed as a whole."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run's own record of its directory, which tells the run from a copy of it.

    Args:
        identity: unique to the run; a copy of the directory has the same one.
        name: the directory's name when the run was claimed or last resumed.
        inode: the directory's inode, which it keeps when it is renamed and which no copy has.
    """

    identity: str
    name: str
    inode: int


def claim(configuration: Configuration) -> RunDirectory:
    """Makes the run's directory and locks it.

    It is made under a hidden name, with configuration and status in it, and then renamed to its version; the rename
    fails where another process has taken that version.

    Raises:
        Refusal: the version exists already, or the folder can't be written.
    """
    parent = configuration.directory
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in _left_behind(parent):
            shutil.rmtree(left, ignore_errors=True)
        directory = _begun(configuration)
        try:
            _take_version(directory, configuration)
        except BaseException:
            shutil.rmtree(directory.path, ignore_errors=True)
            directory.unlock()
            raise
    except OSError as error:
        mark = configuration.mark("output", "root")
        raise Refusal([Problem("output.root", f"can't write into {parent}: {error.strerror}", mark)]) from None
    return directory


def _begun(configuration: Configuration) -> RunDirectory:
    """Makes a directory under a hidden name, locks it and writes what a run has from its first moment on."""
    unique = uuid4().hex
    directory = RunDirectory(configuration.directory / f"{STARTING}{unique}")
    directory.path.mkdir()
    directory.lock()
    # The digest comes into the name once the lock is held: a name with a digest and no lock is a killed process's.
    directory.move(directory.path.with_name(f"{STARTING}{_short(configuration)}_{unique}"))
    directory.write_configuration(configuration)
    directory.write_status("running", 0, "starting")
    return directory


def _take_version(directory: RunDirectory, configuration: Configuration) -> None:
    """Gives a directory its version, the next free one where none is asked for."""
    parent, version = configuration.directory, configuration.output.version
    identity = uuid4().hex
    while True:
        path = parent / (version or f"version_{next_version(parent)}")
        if version and os.path.lexists(path):
            raise Refusal([version_exists(configuration)])
        _record(directory, Claim(identity, path.name, directory.path.stat().st_ino))
        sync_folder(directory.path)
        try:
            directory.move(path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            continue
        sync_folder(parent)
        return


def version_exists(configuration: Configuration) -> Problem:
    """Returns the problem of a version that was asked for and exists."""
    path = configuration.directory / str(configuration.output.version)
    message = f"{path} exists already; expected a new name, or --resume {shlex.quote(str(path))} to continue it"
    return Problem("output.version", message, configuration.mark("output", "version"))


def next_version(parent: Path) -> int:
    """Returns the number after the highest ``version_N`` in a folder."""
    taken = [int(match[1]) for entry in parent.iterdir() if (match := re.fullmatch(r"version_(\d+)", entry.name))]
    return max(taken, default=-1) + 1


def killed_while_claiming(configuration: Configuration) -> bool:
    """Whether a start of this very configuration was killed before its run had a version."""
    beginning = f"{STARTING}{_short(configuration)}_"
    return any(left.name.startswith(beginning) for left in _left_behind(configuration.directory))


def never_configured(path: Path) -> bool:
    """Whether a start was killed in a directory before the configuration was in it. It then holds nothing of a run."""
    try:
        return path.is_dir() and {entry.name for entry in path.iterdir()} <= _OF_A_START
    except OSError:
        return False


def claim_of(path: Path) -> Claim | None:
    """Returns the record in a run's directory; None if there is none that can be read."""
    try:
        content = json.loads((path / CLAIM).read_text(encoding="utf-8"))
        return Claim(str(content["identity"]), str(content["name"]), int(content["inode"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def copies(runs: Iterable[Path]) -> dict[Path, Path]:
    """Returns those of a folder's runs that are copies of another, each with the one that it is a copy of."""
    same: dict[str, list[tuple[bool, bool, Path]]] = {}
    for path in sorted(distinct(runs)):
        recorded = claim_of(path)
        if recorded is not None:
            rank = (recorded.name == path.resolve().name, recorded.inode == path.stat().st_ino, path)
            same.setdefault(recorded.identity, []).append(rank)
    originals = {identity: max(ranks, key=lambda rank: rank[:2])[2] for identity, ranks in same.items()}
    return {
        path: originals[identity]
        for identity, ranks in same.items()
        for _, _, path in ranks
        if path != originals[identity]
    }


def renew(directory: RunDirectory) -> None:
    """Records where a resumed run is now, as it may have been renamed; a copy that is resumed is a run of its own."""
    path = directory.path.resolve()
    recorded = claim_of(path)
    is_copy = recorded is not None and path in copies(entry for entry in path.parent.iterdir() if is_run(entry))
    identity = uuid4().hex if recorded is None or is_copy else recorded.identity
    current = Claim(identity, path.name, path.stat().st_ino)
    if current != recorded:
        _record(directory, current)


def _record(directory: RunDirectory, record: Claim) -> None:
    write_whole(directory.path / CLAIM, json.dumps(asdict(record), indent=1) + "\n")


def _short(configuration: Configuration) -> str:
    """The beginning of a digest of all of a configuration but where its output goes: of what may change, too."""
    content = json.dumps(comparable(plain(configuration)), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _left_behind(parent: Path) -> Iterator[Path]:
    """Yields the hidden directories of processes that were killed while they claimed one."""
    for path in parent.glob(f"{STARTING}*"):
        if _NAMED_AFTER_DIGEST.fullmatch(path.name):
            # Not in use and still there: another process may be giving it its version at this moment.
            if not RunDirectory(path).in_use() and path.is_dir():
                yield path
        else:
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _DAY:
                    yield path
