"""Experiment trackers, with the one of Ignite's loggers that needs no account and no package more."""

import importlib.util

import pytest
from ignite.engine import Events

from firebox.engine.launch import launch
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from firebox.handlers.tracked_record import RECORDS, MLflowRecord
from firebox.handlers.tracker import Tracker
from tests.handlers.runs import begun, configured, ended, rows_of, tensorboard_of, trained


def tracked(folder, **settings):
    parameters = {"log_dir": str(folder / "tracked")}
    tracker = {"logger": "TensorboardLogger", "parameters": parameters, "every": "6 iterations", **settings}
    return configured(folder, {"loss_log": {}, "evaluation": {}, "tracker": tracker})


def test_losses_and_metrics_arrive_with_their_iterations(tmp_path):
    run = trained(tracked(tmp_path))
    events = tensorboard_of(tmp_path / "tracked")
    losses = {row["iteration"]: row["loss"] for row in rows_of(run) if row["split"] == "train"}

    points = {event.step: event.value for event in events.Scalars("train/loss")}
    assert list(points) == [6, 12, 18]
    assert points == pytest.approx({step: losses[step] for step in points})
    assert [event.step for event in events.Scalars("train/learning_rate")] == [6, 12, 18]
    assert [event.step for event in events.Scalars("validation/psnr")] == [9, 18]
    (test,) = events.Scalars("test/loss")
    assert test.value == pytest.approx(run.metrics["test/loss"])


def test_every_logger_that_is_offered_is_one_for_ignite():
    for name, record in RECORDS.items():
        if record.module == "ignite.handlers":
            assert hasattr(record(name, {}).kind, "attach_output_handler")


@pytest.mark.parametrize("logger", sorted(RECORDS))
def test_an_absent_package_is_one_error_that_says_what_to_install(logger):
    package = RECORDS[logger].package
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(ValueError, match=f"{logger} needs the package {package}.*: pip install {package}"):
        Tracker(logger=logger)


def test_an_absent_package_is_refused_before_anything_is_written(tmp_path):
    if importlib.util.find_spec("visdom") is not None:
        pytest.skip("visdom is installed")
    with pytest.raises(
        Refusal, match=r"configuration\.yaml:\d+:\d+  handlers\.tracker: VisdomLogger needs the package"
    ):
        build(tracked(tmp_path, logger="VisdomLogger"))
    assert not (tmp_path / "runs").exists()


def test_a_parameter_that_the_logger_does_not_take_is_refused(monkeypatch):
    monkeypatch.setattr(MLflowRecord, "package", "torch")
    with pytest.raises(ValueError, match="parameters of MLflowLogger: got an unexpected keyword argument 'uri'"):
        Tracker(logger="MLflowLogger", parameters={"uri": "x"})


def test_a_tracker_that_can_not_be_started_is_switched_off_and_the_run_goes_on(tmp_path, caplog):
    (tmp_path / "tracked").touch()
    caplog.set_level("INFO", "firebox")
    assert launch.train(tracked(tmp_path), None, StopRequest()) == launch.COMPLETED
    (said,) = [text for text in caplog.messages if text.startswith("handlers.tracker: ")]
    assert "Not a directory" in said
    assert said.endswith("it is switched off, the training goes on")
    assert "Traceback" not in caplog.text


def test_a_tracker_that_fails_while_training_is_switched_off_and_the_run_goes_on(tmp_path, caplog):
    caplog.set_level("INFO", "firebox")
    run = begun(tracked(tmp_path))
    sent = []

    def fail(engine):
        sent.append(engine.state.iteration)
        raise ConnectionError("the network is gone")

    run.background.drain()
    run.handlers["tracker"]._sources["train"].add_event_handler(Events.ITERATION_COMPLETED, fail)
    ended(run)

    assert (run.iteration, sent) == (18, [6])
    assert len(rows_of(run)) == 18 + 2 + 1
    (said,) = [text for text in caplog.messages if text.startswith("handlers.tracker: ")]
    assert "ConnectionError: the network is gone" in said
