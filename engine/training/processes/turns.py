"""Functions that take turns: one runs until it hands over, then the next one does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

T = TypeVar("T")

ENDING_SECONDS = 1.0
"""Longest time that a thread is waited for."""


class Abandoned(BaseException):
    """Raised in a function that waits for its turn after another one has failed."""


class Turns:
    """Runs functions one at a time, in a fixed order, each in a thread of its own except for the first.

    A thread of its own keeps what torch remembers per thread, such as autocast, from one turn of a function to the
    next. With a single function there are no threads.

    Args:
        count: number of functions.
        device: device that they compute on.
        enter: called with a function's number before each of its turns.
        leave: called with a function's number after each of its turns.
    """

    def __init__(
        self, count: int, device: torch.device, *, enter: Callable[[int], object], leave: Callable[[int], object]
    ) -> None:
        self._count = count
        self._device = device
        self._enter, self._leave = enter, leave
        self._turn: list[threading.Semaphore] = []
        self._jobs: list[SimpleQueue[Callable[[], Any] | None]] = [SimpleQueue() for _ in range(count)]
        self._threads: list[threading.Thread] = []
        self._running: list[int] = []
        self._now = 0
        self._error: BaseException | None = None

    def run(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """Runs the functions and returns their results, in their order.

        Raises:
            BaseException: the first error of any of them.
        """
        results: list[Any] = [None] * self._count
        self._running, self._now, self._error = list(range(self._count)), 0, None
        self._turn = [threading.Semaphore(0) for _ in range(self._count)]
        self._start_threads()
        ended = threading.Semaphore(0)

        def job(number: int) -> None:
            try:
                if number:
                    self._wait(number)
                self._enter(number)
                results[number] = functions[number]()
                self._leave(number)
            except Abandoned:
                pass
            except BaseException as error:
                self._error = self._error or error
            self._finish(number)
            ended.release()

        for number in range(1, self._count):
            self._jobs[number].put(lambda number=number: job(number))  # type: ignore[misc]
        job(0)
        for _ in range(self._count):
            self._acquire(ended)
        if self._error is not None:
            raise self._error
        return results

    def hand_over(self) -> None:
        """Lets the others take their turns; returns when it is the caller's turn again."""
        number = self._now
        self._leave(number)
        following = self._following(number)
        if following != number:
            self._pass_to(following)
            self._wait(number)
        self._enter(number)

    def _wait(self, number: int) -> None:
        self._acquire(self._turn[number])
        if self._error is not None:
            raise Abandoned

    def _acquire(self, semaphore: threading.Semaphore) -> None:
        try:
            semaphore.acquire()
        except BaseException as error:  # raised by a signal's handler, in the main thread
            self._error = self._error or error
            raise

    def _finish(self, number: int) -> None:
        if self._error is not None:
            for turn in self._turn:
                turn.release()
            return
        following = self._following(number)
        self._running.remove(number)
        if self._running:
            self._pass_to(following)

    def _following(self, number: int) -> int:
        place = self._running.index(number)
        return self._running[(place + 1) % len(self._running)]

    def _pass_to(self, number: int) -> None:
        self._now = number
        self._turn[number].release()

    def _start_threads(self) -> None:
        for number in range(len(self._threads) + 1, self._count):
            thread = threading.Thread(
                target=_work, args=(self._jobs[number], self._device), name=f"firebox-shard-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Ends the threads; to run functions again starts new ones."""
        threads, self._threads = self._threads, []
        for number, thread in enumerate(threads, start=1):
            self._jobs[number].put(None)
            thread.join(ENDING_SECONDS)  # one whose function has failed to end is left to the process's end


def _work(jobs: SimpleQueue[Callable[[], Any] | None], device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)  # the current device is a thread's own
    while (job := jobs.get()) is not None:
        job()
