"""The origin of an error that a user's own code raised."""

import signal

import pytest

from firebox.foundation.places import origin, refusal_of


class Panic(BaseException):
    """What a library written in Rust raises is no Exception."""


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def out_of_generator():
    yield next(iter(()))


def test_a_stop_iteration_that_python_turned_into_another_error_is_the_origin():
    with pytest.raises(RuntimeError) as caught:
        next(out_of_generator())
    caught.value.__traceback__ = None  # as if the generator were Firebox's own
    assert isinstance(origin(caught.value), StopIteration)


def test_an_error_of_ones_own_is_its_own_origin():
    error = raised(RuntimeError("no"))
    error.__cause__ = StopIteration()
    assert origin(error) is error


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no"), Panic("no")])
def test_whatever_is_raised_is_refused_with_its_place(error):
    (problem,) = refusal_of(raised(error)).problems
    assert problem.message.startswith(f"{__file__}:")
    assert problem.message.endswith("no")


def test_what_came_through_none_of_the_users_code_is_raised_itself():
    with pytest.raises(Panic):
        refusal_of(Panic("no"))


def test_an_interrupt_from_the_keyboard_is_no_fault_of_the_code():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            refusal_of(raised(KeyboardInterrupt()))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert refusal_of(raised(KeyboardInterrupt())).problems
    finally:
        signal.signal(signal.SIGINT, before)
