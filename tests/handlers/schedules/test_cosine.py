"""The cosine and its warm-up."""

import math
from itertools import pairwise

import pytest

from tests.handlers.runs import trained
from tests.handlers.schedules.rates import LR, rates, scheduled


def test_a_warm_up_rises_in_a_line_to_the_optimizers_rate(tmp_path):
    values = rates(trained(scheduled(tmp_path, name="cosine", warmup="4 iterations")))

    assert values[:5] == pytest.approx([LR / 4, LR / 2, LR * 3 / 4, LR, LR])
    assert all(later < earlier for earlier, later in pairwise(values[4:]))
    assert values[-1] == pytest.approx(LR / 2 * (1 + math.cos(math.pi * 13 / 14)))
