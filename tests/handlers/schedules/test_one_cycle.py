"""One cycle over any number of steps."""

import math

import pytest
from torch.optim import lr_scheduler

from firebox.handlers.schedules.one_cycle import OneCycle
from tests.handlers.schedules.rates import LR, of_torch


@pytest.mark.parametrize("total", [1, 2, 3, 10, 500])
@pytest.mark.parametrize("pct_start", [0.05, 0.3, 0.9])
def test_one_cycle_is_torchs_over_any_number_of_steps(total, pct_start):
    schedule = OneCycle(max_lr=0.5, pct_start=pct_start, div_factor=10.0, final_div_factor=100.0)
    schedule.total = total
    values = [schedule.rate(step, LR) for step in range(total)]

    assert all(math.isfinite(value) and 0 < value <= 0.5 for value in values)
    if pct_start * total > 1:
        expected = of_torch(
            lambda optimizer: lr_scheduler.OneCycleLR(
                optimizer, 0.5, total_steps=total, pct_start=pct_start, div_factor=10.0, final_div_factor=100.0
            ),
            total - 1,
        )
        assert values[:-1] == pytest.approx(expected, rel=1e-9)
    if total > 1:
        assert values[-1] == pytest.approx(0.5 / 10 / 100)
