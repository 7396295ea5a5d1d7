"""Observers never stop the training: an observer that fails is switched off, and the training goes on.

Code that takes a function to call it later (an engine, the dispatcher, the writing thread) passes it through
``observed``. A function that an observer registers is then guarded wherever it is called from; others cost nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from firebox.foundation.places import from_keyboard, own_place
from firebox.foundation.problems import Interrupted, TrainingFailure, in_one_line

logger = logging.getLogger("firebox")

T = TypeVar("T")

_acting: ContextVar[Observer | None] = ContextVar("acting", default=None)
"""The observer acting in this thread; None if the training itself acts."""


class Observer:
    """Something that only reports, such as a handler that draws. Its first failure switches it off.

    Args:
        name: name used in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.off = False
        self._not_its_own: list[BaseException] = []

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Guards the functions that are registered in the block. Errors of the block itself are raised."""
        token = _acting.set(self)
        try:
            yield
        finally:
            _acting.reset(token)

    def call(self, action: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
        """Runs an action and returns its result, or None if it fails. A failure is reported, not raised."""
        try:
            with self.acting():
                return action(*arguments, **named)
        except BaseException as error:
            if not self._is_its_own(error):
                raise
            self._fail(error)
        return None

    def pass_on(self, error: BaseException) -> None:
        """Lets an error through that did not originate in the observer."""
        self._not_its_own.append(error)

    def _is_its_own(self, error: BaseException) -> bool:
        if isinstance(error, TrainingFailure) or any(error is other for other in self._not_its_own):
            return False
        return not isinstance(error, Interrupted) and not from_keyboard(error)

    def _fail(self, error: BaseException) -> None:
        if not self.off:
            self.off = True
            place = own_place(error)
            at = "" if place is None else f" ({place})"
            logger.warning("%s: %s%s; it is switched off, the training goes on", self.name, in_one_line(error), at)
        logger.debug("%s fails", self.name, exc_info=error)


class Observers(dict[str, Observer]):
    """The handlers that are observers, by name."""

    def act(self, name: str, action: Callable[..., T], *arguments: Any, even_off: bool = False) -> T | None:
        """Runs an action of a handler. An observer raises nothing: a failure switches it off.

        Args:
            name: name of the handler.
            action: method of the handler.
            arguments: arguments of the action.
            even_off: whether to run the action of an observer that was switched off.

        Returns:
            The result of the action; None if the handler failed, or was switched off.
        """
        observer = self.get(name)
        if observer is None:
            return action(*arguments)
        return observer.call(action, *arguments) if even_off or not observer.off else None


class Observed:
    """A function that an observer registered. It returns nothing, and does nothing once the observer is off.

    It compares equal to the function, so that it can be removed by whoever registered it.
    """

    __slots__ = ("__weakref__", "__wrapped__", "_observer")

    def __init__(self, observer: Observer, action: Callable[..., Any]) -> None:
        self._observer = observer
        self.__wrapped__ = action

    def __call__(self, *arguments: Any, **named: Any) -> None:
        if not self._observer.off:
            self._observer.call(self.__wrapped__, *arguments, **named)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == getattr(other, "__wrapped__", other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)


def observed(action: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function in the form to register: guarded if an observer registers it."""
    observer = _acting.get()
    return action if observer is None or isinstance(action, Observed) else Observed(observer, action)


@contextmanager
def for_the_training() -> Iterator[None]:
    """Marks the block as part of the training: its errors stop the run, even if an observer caused it to run."""
    observer = _acting.get()
    token = _acting.set(None)
    try:
        yield
    except BaseException as error:
        if observer is not None:
            observer.pass_on(error)
        raise
    finally:
        _acting.reset(token)
