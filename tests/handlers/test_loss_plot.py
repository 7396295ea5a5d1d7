"""The plot of the losses that every run leaves."""

import pytest

from firebox.handlers import loss_plot
from tests.handlers.runs import begun, configured, cut_off, ended, stopped, trained

HANDLERS = {"loss_log": {}, "loss_plot": {}, "evaluation": {}, "checkpoint": {"every": "5 iterations"}}


@pytest.mark.parametrize("interrupt", [stopped, cut_off])
def test_a_resumed_runs_plot_is_that_of_the_uninterrupted_run(tmp_path, interrupt):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    configuration = configured(tmp_path / "resumed", HANDLERS)
    first = interrupt(configuration, 12)
    assert first.directory.loss_plot.exists() is (interrupt is stopped)
    resumed = trained(configuration)

    picture = reference.directory.loss_plot.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert resumed.directory.loss_plot.read_bytes() == picture


@pytest.mark.parametrize(("seconds", "drawn"), [(0.0, 3), (3600.0, 1)])
def test_it_is_drawn_at_intervals_but_seldom(tmp_path, monkeypatch, seconds, drawn):
    monkeypatch.setattr(loss_plot, "LEAST_SECONDS", seconds)
    titles = []
    monkeypatch.setattr(
        loss_plot, "draw_losses", lambda curves, title, length: titles.append(title) or original(curves, title, length)
    )
    trained(configured(tmp_path, HANDLERS))

    assert titles == ["linear_autoencoder on shapes"] * drawn


original = loss_plot.draw_losses


def test_a_run_without_losses_to_draw_has_no_plot(tmp_path):
    run = trained(configured(tmp_path / "unlogged", {"loss_plot": {}}))
    assert not run.directory.loss_plot.exists()
    run = begun(configured(tmp_path / "stopped", HANDLERS))
    run.stop.requested = True
    ended(run)
    assert not run.directory.loss_plot.exists()


def test_losses_that_can_not_be_read_stop_nothing(tmp_path, caplog):
    run = begun(configured(tmp_path, HANDLERS))
    run.handlers["loss_plot"]._curves._path = run.directory.path
    run.directory.loss_plot.mkdir()
    ended(run)

    assert run.iteration == 18
    assert "handlers.loss_plot" in caplog.text
