"""The store that a launcher keeps for its processes, each of whose answers is awaited for a limited time."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from torch.distributed import Store

ANSWER_SECONDS = 60.0
"""Longest time that an answer may take: torch waits for ever where the store's machine is cut off."""


class Keys(Protocol):
    """Values by key that all processes share. Errors are RuntimeErrors."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def check(self, keys: list[str]) -> bool: ...


class SharedStore:
    """A store of torch's, which a thread speaks to: the call that awaits its answer can give up.

    Args:
        store: torch's store.
    """

    def __init__(self, store: Store) -> None:
        self._line = _Line(store)
        self._prefix = ""

    def within(self, prefix: str) -> SharedStore:
        """Returns the part of the store whose keys begin with a prefix."""
        part = SharedStore.__new__(SharedStore)
        part._line, part._prefix = self._line, f"{self._prefix}{prefix}/"
        return part

    def set(self, key: str, value: str) -> None:
        self._line.ask("set", self._prefix + key, value)

    def get(self, key: str) -> bytes:
        return self._line.ask("get", self._prefix + key)  # type: ignore[no-any-return]

    def add(self, key: str, amount: int) -> int:
        return self._line.ask("add", self._prefix + key, amount)  # type: ignore[no-any-return]

    def check(self, keys: list[str]) -> bool:
        return self._line.ask("check", [self._prefix + key for key in keys])  # type: ignore[no-any-return]


class _Line:
    """The thread, which ends with the process: nothing ends a call of torch's that has no answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._questions: SimpleQueue[tuple[str, tuple[Any, ...], SimpleQueue[tuple[Any, Exception | None]]]]
        self._questions = SimpleQueue()
        self._broken = False
        threading.Thread(target=self._run, name="firebox-store", daemon=True).start()

    def ask(self, method: str, *arguments: Any) -> Any:
        if not self._broken:
            answer: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
            self._questions.put((method, arguments, answer))
            try:
                value, error = answer.get(timeout=ANSWER_SECONDS)
            except Empty:
                self._broken = True
            else:
                if error is not None:
                    raise error
                return value
        raise RuntimeError(f"no answer within {ANSWER_SECONDS:g} s")

    def _run(self) -> None:
        while True:
            method, arguments, answer = self._questions.get()
            try:
                answer.put((getattr(self._store, method)(*arguments), None))
            except Exception as error:
                answer.put((None, error))
