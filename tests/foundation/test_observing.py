"""What an observer raises, and what only comes by way of it."""

import signal

import pytest

from firebox.foundation.background import Background
from firebox.foundation.observing import Observer, for_the_training, observed
from firebox.foundation.problems import TrainingFailure


def fail(error):
    raise error


@pytest.mark.parametrize("error", [ValueError("no"), RecursionError(), SystemExit(3), OSError(28, "No space left")])
def test_a_failing_observer_is_switched_off_and_said_once(error, caplog):
    observer, calls = Observer("handlers.mine"), []
    with observer.acting():
        failing, other = observed(lambda: fail(error)), observed(lambda: calls.append(1))
    other()
    failing()
    failing()
    other()

    assert observer.off
    assert calls == [1]
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith("handlers.mine: ")
    assert "test_observing.py:" in said


def test_what_is_registered_by_no_observer_is_registered_as_it_is():
    assert observed(fail) is fail
    observer = Observer("handlers.mine")
    with pytest.raises(ValueError, match="no"), observer.acting():
        fail(ValueError("no"))
    assert not observer.off


def test_an_observers_return_value_abandons_nothing():
    with Observer("handlers.mine").acting():
        assert observed(lambda: False)() is None


def test_an_observed_function_equals_the_function_so_that_it_can_be_removed():
    class Mine:
        def act(self):
            pass

    mine = Mine()
    with Observer("handlers.mine").acting():
        registered = observed(mine.act)
    assert registered == mine.act
    assert hash(registered) == hash(mine.act)
    assert registered != Mine().act


def test_what_is_the_trainings_own_passes_whoever_asked_for_it():
    outer, inner = Observer("handlers.outer"), Observer("handlers.inner")

    def settle(subscriber):
        with for_the_training():
            subscriber()

    with inner.acting():
        asks = observed(lambda: settle(lambda: fail(ValueError("the loss"))))
    with outer.acting():
        asks_for_both = observed(lambda: settle(asks))
    with pytest.raises(ValueError, match="the loss"):
        asks_for_both()
    assert not outer.off
    assert not inner.off


def test_a_failure_that_is_to_stop_the_training_stops_it():
    with pytest.raises(TrainingFailure):
        Observer("handlers.mine").call(fail, TrainingFailure("the run has not ended"))


def test_an_interrupt_is_an_observers_own_where_a_run_has_taken_over_the_signal():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Observer("handlers.mine").call(fail, KeyboardInterrupt())
        signal.signal(signal.SIGINT, lambda *_: None)
        assert Observer("handlers.mine").call(fail, KeyboardInterrupt()) is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_observers_job_that_fails_leaves_the_others_to_be_done():
    background, observer, done = Background(), Observer("handlers.mine"), []
    with observer.acting():
        background.submit(fail, ValueError("a picture"))
    background.submit(done.append, 1)
    background.close()

    assert observer.off
    assert done == [1]


def test_the_failure_of_another_job_passes_through_the_observer_that_meets_it():
    background, observer = Background(), Observer("handlers.mine")
    background.submit(fail, OSError("a checkpoint"))
    with pytest.raises(OSError, match="a checkpoint"):
        observer.call(background.drain)
    assert not observer.off
    background.close()
