"""What the launcher's store remembers of a job over the attempts that it makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firebox.engine.world.store import Keys


class Job:
    """What outlives an attempt: the run's directory, and that the run was asked to stop.

    Args:
        store: the launcher's store, outside of what belongs to an attempt; None if there is no launcher.
    """

    def __init__(self, store: Keys | None = None) -> None:
        self._store = store

    @property
    def run(self) -> str | None:
        """The directory of the run that an earlier attempt has begun; None if there is none."""
        return self._get("run")

    @run.setter
    def run(self, path: str) -> None:
        self._set("run", path)

    @property
    def stopped(self) -> int | None:
        """The exit code of an earlier attempt that was asked to stop; None if none was."""
        code = self._get("stopped")
        return None if code is None else int(code)

    @stopped.setter
    def stopped(self, code: int) -> None:
        self._set("stopped", str(code))

    def _get(self, key: str) -> str | None:
        if self._store is None or not self._store.check([key]):
            return None
        return self._store.get(key).decode()

    def _set(self, key: str, value: str) -> None:
        if self._store is not None:
            self._store.set(key, value)
