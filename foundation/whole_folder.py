"""Folders that appear with all their content or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from firebox.foundation.files import sync_folder
from firebox.foundation.problems import Problem, Refusal


@contextmanager
def whole_folder(folder: Path, *, mark: str, overwrite: bool) -> Iterator[Path]:
    """Yields a hidden folder to write to, which takes the folder's place at the end, or is removed if it fails.

    What a process left that was killed while it wrote is removed, too.

    Args:
        folder: the folder to make.
        mark: name of a file that the block writes, by which a folder to overwrite is known for one of its kind.
        overwrite: whether to replace a folder that is there.

    Raises:
        Refusal: there is something that may not be overwritten.
        OSError: the folder can't be written.
    """
    folder = folder.expanduser().resolve()
    if folder.exists():
        way_out = "name another folder by --output"
        if not (folder / mark).is_file():
            raise _refusal(f"{folder} is there already, and has no {mark}; {way_out}")
        if not overwrite:
            raise _refusal(f"{folder} is there already; {way_out}, or replace it by --overwrite")
    above = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{_escaped(folder.name)}.*.writing"):
        with suppress(OSError), _locked(stale):
            shutil.rmtree(stale)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.writing")
    temporary.mkdir()
    try:
        with ExitStack() as stack:
            with suppress(
                OSError
            ):  # without a lock, as on some network's file systems, nothing else is protected by it
                stack.enter_context(_locked(temporary))
            yield temporary
            for path, _, _ in os.walk(temporary):
                sync_folder(Path(path))
            if folder.exists():
                former = temporary.with_suffix(".former.writing")
                folder.rename(former)
                temporary.rename(folder)
                shutil.rmtree(former)
            else:
                temporary.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in above:
            with suppress(OSError):  # it holds the folder, or what another process has put there
                parent.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder's lock, which ends with the process, where the file system has locks.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _escaped(name: str) -> str:
    """Returns a name for use in a pattern, without a meaning of its own."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
