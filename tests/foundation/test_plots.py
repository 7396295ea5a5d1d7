"""Scatter plots, confusion matrices and plots of losses."""

import subprocess
import sys
import threading

import pytest
import torch
from matplotlib.colors import to_rgb

from firebox.foundation.canvas import COLOURS, LINE, MARGIN
from firebox.foundation.loss_plot import draw_losses
from firebox.foundation.plots import LARGEST_CELL, LONGEST_BAR, draw_confusion_matrix, draw_histogram, draw_scatter

CLASSES = ("circle", "square", "triangle")


def test_each_class_is_drawn_where_it_is_in_its_own_colour() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat_interleave(30, 0)
    labels = torch.tensor([0, 1]).repeat_interleave(30, 0)
    picture = draw_scatter(points, labels, ("left", "right"), ("x", "y")).permute(1, 2, 0).int()
    frame = picture[:, :700]

    def middle(colour: str) -> list[float]:
        near = (frame - torch.tensor(to_rgb(colour)) * 255).abs().amax(2) < 8
        return near.nonzero().double().mean(0).tolist()

    (low, left), (high, right) = middle(COLOURS[0]), middle(COLOURS[1])
    assert left < right
    assert low > high
    assert right - left == pytest.approx(low - high, abs=2), "one scale for both axes"


@pytest.mark.parametrize("place", [0.0, 5.0, 1e12])
def test_one_point_without_a_class_can_be_drawn(place) -> None:
    picture = draw_scatter(torch.full((1, 2), place), None, (), ("x", "y"))
    assert picture.dtype == torch.uint8
    assert picture.shape[0] == 3


@pytest.mark.parametrize("count", [2, 10, 100, 1000])
def test_the_legend_has_room_for_any_number_of_classes(count) -> None:
    names = [f"a class with a name that is much too long, {number}" for number in range(count)]
    _, height, width = draw_scatter(torch.rand(count, 2), torch.arange(count), names, ("x", "y")).shape

    assert height < width <= 1600


def test_bars_are_as_long_as_their_counts() -> None:
    picture = draw_histogram(torch.tensor([100, 50, 0]), CLASSES).permute(1, 2, 0).int()
    blue = ((picture - torch.tensor(to_rgb(COLOURS[0])) * 255).abs().amax(2) < 8).sum(1)
    lengths = [int(part.max()) for part in blue[MARGIN // 2 :].split(LINE + MARGIN)[:3]]

    assert lengths == pytest.approx([LONGEST_BAR, LONGEST_BAR / 2, 0], abs=2)


def test_cells_are_as_dark_as_their_share_of_the_row():
    counts = torch.tensor([[900, 100, 0], [0, 1, 1], [0, 0, 0]])
    picture = draw_confusion_matrix(counts, CLASSES)

    assert picture.dtype == torch.uint8
    top = picture.shape[1] - 3 * LARGEST_CELL - MARGIN
    left = top - (MARGIN + LINE + MARGIN)  # the title's room
    # A corner of each cell, which its count leaves free.
    darkness = 1 - picture[0, top + 3 :: LARGEST_CELL, left + 3 :: LARGEST_CELL][:3, :3] / 255
    torch.testing.assert_close(darkness / (1 - 8 / 255), counts / torch.tensor([[1000], [2], [1]]), rtol=0, atol=0.005)


@pytest.mark.parametrize("count", [2, 10, 100, 1300])
def test_the_picture_has_room_for_any_number_of_classes(count):
    names = [f"a class with a name that is much too long, {number}" for number in range(count)]
    _, height, width = draw_confusion_matrix(torch.eye(count, dtype=torch.int64), names).shape

    assert height <= width <= 1700


def test_names_are_shown_as_they_are_and_never_read_as_formulas():
    counts = torch.eye(2, dtype=torch.int64)
    # As a formula, the first is an error, and "$a$" is narrower than its five letters.
    for names in (("$\\frac{$", "x"), ("$a$", "b_c^d"), ("犬", "a\nb")):
        draw_confusion_matrix(counts, names)
        draw_scatter(torch.rand(2, 2), torch.tensor([0, 1]), names, ("$x", "y_$"))
    assert draw_confusion_matrix(counts, ("$aa$", "b")).shape[1] > draw_confusion_matrix(counts, ("aa", "b")).shape[1]


def test_a_plot_is_the_same_whenever_and_in_whichever_thread_it_is_drawn():
    counts, points, labels = torch.arange(9).reshape(3, 3), torch.rand(50, 2), torch.arange(50) % 3
    drawn = []

    def draw() -> None:
        matrix, scatter = draw_confusion_matrix(counts, CLASSES), draw_scatter(points, labels, CLASSES, ("x", "y"))
        drawn.append((matrix, scatter, draw_losses({"train": [(1, 0.5), (2, 0.25)]}, "a $title$", 2)))

    draw()
    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert all(map(torch.equal, *drawn))


def test_plots_are_drawn_without_pyplot_and_imported_without_matplotlib():
    code = """
import sys, torch
from firebox.foundation.plots import draw_confusion_matrix
import firebox.modules.classification
before = "matplotlib" in sys.modules
draw_confusion_matrix(torch.eye(2), ("a", "b"))
print(before, "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_title_has_room_of_its_own_above_a_scatter_plot():
    points = torch.rand(20, 2, generator=torch.Generator().manual_seed(3))
    without, titled = (draw_scatter(points, None, (), ("x", "y"), title) for title in ("", "a title $"))
    room = titled.shape[1] - without.shape[1]

    assert room > LINE
    assert (titled[:, :room] < 128).any()
    assert not (without[:, : MARGIN - 1] < 128).any()


@pytest.mark.parametrize(
    "curves",
    [
        {"train": [(1, 0.5)]},
        {"train": [], "validation": [(9, 0.5)]},
        {"train": [(i, float(i - 3)) for i in range(1, 9)], "validation": [(4, -1.0), (8, 0.0)], "test": [(8, 1.0)]},
        {"train": [(i, 10.0**-i) for i in range(1, 40)]},
        {"train": [(1, 1e30), (2, 1e-30)], "validation": [(2, 3e38)]},
        {"train": [(i, 0.25) for i in range(1, 5)]},
    ],
)
def test_losses_of_any_size_and_sign_can_be_drawn(curves):
    picture = draw_losses(curves, "model on data", 4)
    assert tuple(picture.shape) == (3, 540, 960)
    blue = (picture.permute(1, 2, 0).int() - torch.tensor(to_rgb(COLOURS[0])) * 255).abs().amax(2) < 60
    assert bool(blue[:, 70:].any()) is bool(curves["train"])
