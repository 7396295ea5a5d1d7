"""What observes never stops what it observes: an observer that fails is switched off, and the training goes on.

Whoever takes a function to call it later (an engine, the dispatcher, the thread that writes) takes it by ``observed``:
what an observer registers is then guarded wherever it is called from, and nothing else costs anything.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from firebox.foundation.places import own_place
from firebox.foundation.problems import TrainingFailure, in_one_line

logger = logging.getLogger("firebox")

T = TypeVar("T")

_acting: ContextVar[Observer | None] = ContextVar("acting", default=None)
"""The observer that acts in this thread; None where the training does."""


class Observer:
    """Something that only reports, such as a handler that draws. The first thing that fails in it switches it off.

    Args:
        name: what messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.off = False
        self._not_its_own: list[BaseException] = []

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Has what is registered in the block guarded. What the block itself raises is raised."""
        token = _acting.set(self)
        try:
            yield
        finally:
            _acting.reset(token)

    def call(self, action: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
        """Has it act; returns what the action returns, None if it fails. A failure is said, not raised."""
        try:
            with self.acting():
                return action(*arguments, **named)
        except BaseException as error:
            if not self._is_its_own(error):
                raise
            self._fail(error)
        return None

    def pass_on(self, error: BaseException) -> None:
        """Lets an error through that only came by way of the observer."""
        self._not_its_own.append(error)

    def _is_its_own(self, error: BaseException) -> bool:
        if isinstance(error, TrainingFailure) or any(error is other for other in self._not_its_own):
            return False
        if isinstance(error, KeyboardInterrupt):
            # Where a run has taken over the signal, no interrupt comes from a keyboard.
            return signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        return isinstance(error, Exception | SystemExit)

    def _fail(self, error: BaseException) -> None:
        if not self.off:
            self.off = True
            place = own_place(error)
            at = "" if place is None else f" ({place})"
            logger.warning("%s: %s%s; it is switched off, the training goes on", self.name, in_one_line(error), at)
        logger.debug("%s fails", self.name, exc_info=error)


class Observers(dict[str, Observer]):
    """The observers among handlers, by the handlers' names."""

    def act(self, name: str, action: Callable[..., T], *arguments: Any, even_off: bool = False) -> T | None:
        """Has a handler do something. One that observes raises nothing: a failure switches it off.

        Args:
            name: the handler's name.
            action: a method of the handler.
            arguments: the action's arguments.
            even_off: also have an observer act that was switched off.

        Returns:
            What the action returns; None if the handler failed, or was switched off.
        """
        observer = self.get(name)
        if observer is None:
            return action(*arguments)
        return observer.call(action, *arguments) if even_off or not observer.off else None


class Observed:
    """A function that an observer registered. It returns nothing, and does nothing once the observer is off.

    It equals the function, so that whoever registered it can remove it again.
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
    """Returns a function as it is to be registered: guarded if it is an observer that registers it."""
    observer = _acting.get()
    return action if observer is None or isinstance(action, Observed) else Observed(observer, action)


@contextmanager
def for_the_training() -> Iterator[None]:
    """Marks what is done in the block as the training's own: what it raises stops the run, whoever asked for it."""
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
