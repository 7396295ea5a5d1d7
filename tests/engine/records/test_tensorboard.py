"""Event files: in order, whatever the clock says."""

import time

import pytest
from tensorboardX.event_file_writer import EventsWriter

from firebox.engine.records import tensorboard
from firebox.engine.records.tensorboard import TensorBoardWriter
from tests.handlers.runs import tensorboard_of


def points(folder):
    return [(event.step, event.value) for event in tensorboard_of(folder).Scalars("loss")]


def write(folder, steps, value, purge_step=None):
    writer = TensorBoardWriter(folder, purge_step=purge_step)
    for step in steps:
        writer.add_values({"loss": value}, step)
    writer.close()


@pytest.mark.parametrize("hours", [0, -5, 5])
def test_a_run_resumed_after_the_clock_was_set_is_one_clean_curve(tmp_path, monkeypatch, hours):
    write(tmp_path, range(1, 7), 1.0)
    now = time.time
    monkeypatch.setattr(tensorboard.time, "time", lambda: now() + 3600 * hours)
    write(tmp_path, range(4, 9), 2.0, purge_step=4)
    assert points(tmp_path) == [(step, 1.0 if step < 4 else 2.0) for step in range(1, 9)]
    times = [event.wall_time for event in tensorboard_of(tmp_path).Scalars("loss")]
    assert times == sorted(times)


def test_tensorboardx_own_names_would_be_out_of_order(tmp_path, monkeypatch):
    """The control."""
    write(tmp_path, range(1, 7), 1.0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    earlier = EventsWriter(str(tmp_path / "events"), ".resumed")
    earlier.close()
    assert sorted(path.name for path in tmp_path.iterdir())[0].endswith(".resumed")


def test_many_files_within_a_second_are_in_order(tmp_path):
    for number in range(5):
        write(tmp_path, [number + 1], float(number), purge_step=number + 1)
    assert points(tmp_path) == [(number + 1, float(number)) for number in range(5)]
