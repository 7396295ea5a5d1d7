"""The bar on a terminal and the lines elsewhere."""

import io
import logging
import re
import time

import pytest
from rich.console import Console

from firebox.engine.training.updates.losses import Row
from firebox.foundation import console
from tests.handlers.runs import begun, configured, ended, rows_of, stopped, trained

HANDLERS = {"progress": {}, "evaluation": {"test": False}}


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error a terminal of 120 columns; returns what is written to it."""
    written = io.StringIO()
    shown = Console(file=written, force_terminal=True, width=120, highlight=False, soft_wrap=True)
    monkeypatch.setattr(console, "messages", shown)
    logger = logging.getLogger("firebox")
    before = list(logger.handlers), logger.level, logger.propagate
    console.start(quiet=False)
    yield written
    logger.handlers[:], logger.level, logger.propagate = before


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch ")]


def test_off_a_terminal_there_is_a_line_an_epoch(tmp_path, caplog):
    caplog.set_level(logging.INFO, "firebox")
    run = trained(configured(tmp_path, {**HANDLERS, "loss_log": {}}))
    first, second = lines(caplog)
    losses = [row["loss"] for row in rows_of(run) if row["split"] == "train"]

    assert first.startswith(f"epoch 1/2, iteration 9, train loss {sum(losses[:9]) / 9:.4g}, validation loss ")
    assert second.startswith(f"epoch 2/2, iteration 18, train loss {sum(losses[9:]) / 9:.4g}, validation loss ")
    assert re.search(r", [\d,]+ images/s, 0:00:00 left$", second)


def test_a_resumed_epochs_line_has_the_mean_of_the_whole_epoch(tmp_path, caplog):
    caplog.set_level(logging.INFO, "firebox")
    handlers = {**HANDLERS, "checkpoint": {}}
    trained(configured(tmp_path / "reference", handlers))
    configuration = configured(tmp_path / "resumed", handlers)
    stopped(configuration, 5)
    trained(configuration)
    said = [line.split(", validation")[0] for line in lines(caplog)]

    assert said[:2] == said[2:]


def test_a_resumed_runs_time_left_is_measured_from_where_it_resumed(tmp_path):
    configuration = configured(tmp_path, {**HANDLERS, "checkpoint": {}})
    stopped(configuration, 9)
    run = begun(configuration)
    progress = run.handlers["progress"]
    progress._began = (100.0, 9)

    assert progress._left((100.0, 9)) == "?"
    assert progress._left((102.0, 12)) == "0:00:04"
    ended(run)


def test_a_bar_is_drawn_on_a_terminal_and_ends_full(tmp_path, terminal):
    run = begun(configured(tmp_path, HANDLERS))
    ended(run)

    assert "epoch 2/2 " + "━" * 30 in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "train loss" not in terminal.getvalue()
    assert run.handlers["progress"]._live.is_started is False


def test_a_stopped_runs_bar_stays_where_it_was(tmp_path, terminal):
    stopped(configured(tmp_path, {**HANDLERS, "loss_log": {}}), 9)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).split("epoch ")[-1]

    assert "━" * 15 + "─" * 15 + "  50 %  loss 0." in last


def test_a_bar_is_drawn_at_most_ten_times_a_second(tmp_path, terminal):
    run = begun(configured(tmp_path, HANDLERS, training={"epochs": 8}))
    began = time.perf_counter()
    ended(run)
    seconds = time.perf_counter() - began

    # Two more: when it appears and when it goes.
    assert terminal.getvalue().count("images/s") <= 10 * seconds + 3


def test_quiet_shows_no_bar(tmp_path, terminal):
    console.start(quiet=True)
    trained(configured(tmp_path, HANDLERS))

    assert terminal.getvalue() == ""


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.usefixtures("terminal")
def test_no_column_of_the_bar_moves_and_none_is_cut(tmp_path, columns):
    run = begun(configured(tmp_path, HANDLERS, training={"epochs": 12}))
    console.messages.width = columns
    progress = run.handlers["progress"]
    progress._began = (time.perf_counter(), 0)
    shown = []
    for iteration, loss, speed in ((0, None, 1), (7, 0.25, 900), (50, 1.2345e-12, 123456), (108, -7654.321, 99)):
        run.trainer.state.iteration = iteration
        progress._last = None if loss is None else Row(iteration, 0.1, {"loss": loss}, True)
        progress._draws.clear()
        progress._draws.append((time.perf_counter() - run.configuration.data.loading.batch_size / speed, iteration - 1))
        shown.append(progress.bar().plain)
    run.trainer.state.iteration = 0
    ended(run)

    assert {len(text) for text in shown} == {len(shown[0])} and len(shown[0]) < columns
    for word in (" %", "loss ", "images/s", "left"):
        assert len({text.find(word) for text in shown}) == 1
    assert ("images/s" in shown[0], "loss" in shown[0]) == (columns >= 80, columns >= 60)
