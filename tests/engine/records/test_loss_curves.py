"""The losses of losses.jsonl as curves."""

import random

from firebox.engine.records.loss_curves import MOST_POINTS, LossCurves
from firebox.handlers.loss_log import line


def rows(count, seed=0):
    numbers = random.Random(seed)
    for iteration in range(1, count + 1):
        yield line(iteration, 1, "train", {"loss": numbers.random(), "kl": 1.0})
        if iteration % 100 == 0:
            yield line(iteration, 1, "validation", {"loss": numbers.random()})
    yield line(count, 1, "test", {"loss": 0.5})


def test_few_losses_are_points_as_they_are(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text(line(1, 1, "train", {"loss": 0.5}) + line(2, 1, "train", {"loss": 0.25}))
    assert LossCurves(path).read() == {"train": [(1.0, 0.5), (2.0, 0.25)]}


def test_many_are_averaged_over_stretches(tmp_path):
    path = tmp_path / "losses.jsonl"
    count = 3 * MOST_POINTS
    path.write_text(
        "".join(line(iteration, 1, "train", {"loss": float(iteration)}) for iteration in range(1, count + 1))
    )
    points = LossCurves(path).read()["train"]

    assert len(points) == count // 4
    assert all(iteration == loss for iteration, loss in points)
    assert points[0] == (2.5, 2.5)


def test_the_same_rows_make_the_same_curves_however_often_they_are_read(tmp_path):
    content = "".join(rows(5000))
    whole = tmp_path / "whole.jsonl"
    whole.write_text(content)
    growing = tmp_path / "growing.jsonl"
    growing.touch()
    curves = LossCurves(growing)
    for start in range(0, len(content), 7919):  # in pieces that end within rows
        with growing.open("a") as file:
            file.write(content[start : start + 7919])
        curves.read()

    assert curves.read() == LossCurves(whole).read()
    assert list(curves.read()) == ["train", "validation", "test"]


def test_what_is_no_number_is_left_out(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text(
        line(1, 1, "train", {"loss": float("nan")})
        + line(2, 1, "train", {"loss": 0.5})
        + line(2, 1, "validation", {"loss": float("inf")})
        + line(2, 1, "test", {"accuracy": 1.0})
    )
    assert LossCurves(path).read() == {"train": [(2.0, 0.5)]}
