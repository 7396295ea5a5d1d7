"""A rate that follows a metric."""

import pytest

from tests.handlers.runs import configured, trained
from tests.handlers.schedules.rates import STILL, rates


def test_a_plateau_lowers_the_rate_once_and_no_further_than_its_end(tmp_path):
    settings = {"name": "reduce_on_plateau", "patience": 0, "min_lr": 5e-8}
    handlers = {"loss_log": {}, "evaluation": {"every": "3 iterations", "test": False}}
    run = trained(configured(tmp_path, handlers, scheduler=settings, optimizer=STILL))

    # At this rate no evaluation is better than the first.
    assert rates(run)[:6] == pytest.approx([1e-6] * 6)
    assert rates(run)[6:9] == pytest.approx([1e-7] * 3)
    assert rates(run)[9:] == pytest.approx([5e-8] * 9)
