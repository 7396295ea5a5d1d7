"""Ending a training that gets no better."""

import math

import pytest

from tests.handlers.runs import begun, configured, ended, trained

STILL = {"optimizer": {"name": "sgd", "lr": 1e-12}, "training": {"epochs": 6}}
HANDLERS = {"evaluation": {"test": False}, "early_stopping": {"patience": 2, "min_delta": 1e-4}, "checkpoint": {}}


def decided(run, values, name="validation/loss"):
    """Has the handler see some values; returns after how many it stopped."""
    handler = run.handlers["early_stopping"]
    for number, value in enumerate(values, start=1):
        run.record_evaluation("validation", {name.removeprefix("validation/"): value})
        handler._consider()
        if run.finished:
            return number
    return None


@pytest.mark.parametrize(
    ("settings", "values", "expected"),
    [
        ({"patience": 2}, [3, 2, 1, 0, -1], None),
        ({"patience": 2}, [3, 2, 2, 2], 4),
        ({"patience": 2}, [3, 4, 2, 4, 4], 5),
        ({"patience": 2, "min_delta": 1.0}, [3, 2.5, 1.5, 1.0, 0.6], 5),
        ({"patience": 2}, [1, math.nan, math.nan], 3),
        ({"patience": 3}, [math.nan, 2, 1, 0, 3], None),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 2.5], 4),
        ({"patience": 1, "monitor": "validation/psnr", "mode": "max"}, [10, 9], 2),
    ],
)
def test_a_metric_that_does_not_improve_is_waited_for_so_long(tmp_path, settings, values, expected):
    run = begun(configured(tmp_path, {"early_stopping": settings}))
    assert decided(run, values, settings.get("monitor", "validation/loss")) == expected
    run.finish_early("not trained")
    ended(run)


def test_a_run_that_gets_no_better_ends_and_says_why(tmp_path):
    run = trained(configured(tmp_path, HANDLERS, **STILL))

    assert run.iteration == 3 * 9
    assert run.finished.startswith("validation/loss no better for 2 evaluations (best 0.")


def test_a_resumed_run_waits_for_the_rest(tmp_path):
    handlers = {"early_stopping": {"patience": 3}}
    first, second = (begun(configured(tmp_path / name, handlers)) for name in ("first", "second"))
    assert decided(first, [1, 2, 2]) is None
    second.handlers["early_stopping"].load_state_dict(first.handlers["early_stopping"].state_dict())
    assert decided(second, [2]) == 1
    for run in (first, second):
        run.finish_early("not trained")
        ended(run)


def test_a_run_that_had_stopped_does_not_train_on_when_resumed(tmp_path):
    configuration = configured(tmp_path, HANDLERS, **STILL)
    trained(configuration)
    resumed = begun(configuration)

    assert resumed.finished is not None
    assert ended(resumed).iteration == 27
