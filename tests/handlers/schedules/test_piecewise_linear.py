"""Milestones."""

import pytest

from firebox.handlers.schedules.piecewise_linear import PiecewiseLinear
from tests.handlers.runs import trained
from tests.handlers.schedules.rates import rates, scheduled


def test_milestones_are_joined_by_lines(tmp_path):
    milestones = [[0, 0.1], [1, 0.4], [1.5, 0.0]]
    values = rates(trained(scheduled(tmp_path, name="piecewise_linear", milestones=milestones)))

    assert values[:10] == pytest.approx([0.1 + 0.3 * step / 9 for step in range(10)])
    assert values[13] == pytest.approx(0.4 * (1 - 8 / 9))
    assert values[14:] == [0.0] * 4


@pytest.mark.parametrize("milestones", [[], [(1.0, 0.1), (1.0, 0.2)], [(2.0, 0.1), (1.0, 0.2)]])
def test_milestones_out_of_order_are_refused(milestones):
    with pytest.raises(ValueError, match="expected at least one, each later than the one before"):
        PiecewiseLinear(milestones=milestones)
