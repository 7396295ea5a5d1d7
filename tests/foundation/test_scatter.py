"""Scatter plots."""

import torch

from firebox.foundation.scatter import COLOURS, draw_scatter, ticks


def test_each_class_is_drawn_where_it_is_in_its_own_colour() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat_interleave(30, 0)
    labels = torch.tensor([0, 1]).repeat_interleave(30, 0)
    picture = draw_scatter(points, labels, ("left", "right"), ("x", "y")).permute(1, 2, 0).int()
    frame = picture[:, :700]

    def middle(colour: tuple[int, int, int]) -> list[float]:
        near = (frame - torch.tensor(colour)).abs().amax(2) < 8
        return near.nonzero().double().mean(0).tolist()

    (low, left), (high, right) = middle(COLOURS[0]), middle(COLOURS[1])
    assert left < right
    assert low > high


def test_one_point_without_a_class_can_be_drawn() -> None:
    picture = draw_scatter(torch.zeros(1, 2), None, (), ("x", "y"))
    assert picture.dtype == torch.uint8
    assert picture.shape[0] == 3


def test_ticks_are_round_and_within_the_range() -> None:
    assert ticks(-1.1, 1.1) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert ticks(3.0, 43.0) == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]
