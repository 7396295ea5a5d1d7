"""The place of an archive: it appears under a number of its own, complete or not at all, and is read-only."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firebox.engine.archives.finding import number_of
from firebox.engine.records.verification import EXPERIMENTS
from firebox.foundation.files import sync_folder

_WRITING = re.compile(r"\.archived_v.+\.writing")


@contextmanager
def claimed(parent: Path) -> Iterator[tuple[Path, str]]:
    """Yields a hidden folder to build the archive in, and the archive's name. If the folder remains, it is removed.

    Only one process at a time archives below a datamodule; the lock ends with the process, however that ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(parent, os.O_RDONLY)
    temporary = None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        entries = list(parent.iterdir())
        for entry in entries:
            if _WRITING.fullmatch(entry.name):
                _remove(entry)
        number = max(map(number_of, entries), default=0) + 1
        name = f"archived_v{number}_{time.strftime('%Y-%m-%d')}"
        temporary = parent / f".{name}.writing"
        temporary.mkdir()
        yield temporary, name
    finally:
        if temporary is not None and temporary.exists():
            _remove(temporary)
        os.close(descriptor)


def make_read_only(folder: Path) -> None:
    """Flushes everything to disk and removes write permission from all but the folder of the experiments."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
            path.chmod(0o755 if path == folder / EXPERIMENTS else 0o555)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    sync_folder(folder)
    folder.chmod(0o555)


def _remove(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)
