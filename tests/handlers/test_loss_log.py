"""losses.jsonl and TensorBoard's curves."""

import json
import math
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from ignite.engine import Events

from firebox.engine.records.tensorboard import TensorBoardWriter
from firebox.engine.training.losses import Row
from firebox.handlers.loss_log import flattened, line, truncate
from tests.handlers.runs import (
    EPOCH_LENGTH,
    begun,
    configured,
    cut_off,
    ended,
    rows_of,
    stopped,
    tensorboard_of,
    trained,
)

HANDLERS = {"loss_log": {"every": "4 iterations"}, "evaluation": {}, "checkpoint": {"every": "5 iterations"}}


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


def test_there_is_a_row_an_iteration_and_one_an_evaluation_in_order(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    rows = rows_of(run)

    train = [(iteration, "train") for iteration in range(1, 19)]
    expected = [*train[:9], (9, "validation"), *train[9:], (18, "validation"), (18, "test")]
    assert [(row["iteration"], row["split"]) for row in rows] == expected
    assert [row["epoch"] for row in rows] == [1] * 10 + [2] * 11
    assert list(rows[0]) == ["iteration", "epoch", "split", "loss", "learning_rate"]
    assert {"loss", "psnr", "ssim"} < set(rows[-1])
    assert rows[-1]["loss"] == run.metrics["test/loss"]


def test_tensorboard_reads_a_point_a_stretch_and_one_an_evaluation(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    events = tensorboard_of(run.directory.tensorboard)

    for tag in ("train/loss", "train/learning_rate", "train/images_per_second"):
        assert steps(events, tag) == [4, 8, 12, 16, 18]
    assert steps(events, "validation/loss") == [9, 18]
    assert steps(events, "test/psnr") == [18]
    losses = {row["iteration"]: row["loss"] for row in rows_of(run) if row["split"] == "train"}
    assert all(event.value == pytest.approx(losses[event.step]) for event in events.Scalars("train/loss"))
    assert all(event.value > 0 for event in events.Scalars("train/images_per_second"))


def test_hyper_parameters_are_in_the_runs_own_folder(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    (file,) = run.directory.tensorboard.iterdir()
    assert file.is_file()
    contents = tensorboard_of(run.directory.tensorboard).PluginTagToContent("hparams")

    assert set(contents) == {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"}
    assert b"optimizer.lr" in contents["_hparams_/session_start_info"]
    assert b"handlers.loss_log.every" in contents["_hparams_/session_start_info"]
    assert b"test/loss" in contents["_hparams_/experiment"]


@pytest.mark.parametrize("every", ["1 iteration", "7 iterations", "1 epoch"])
def test_how_often_is_read_changes_no_row(tmp_path, every):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    other = trained(configured(tmp_path / "other", {**HANDLERS, "loss_log": {"every": every}}))

    assert other.directory.losses.read_bytes() == reference.directory.losses.read_bytes()


@pytest.mark.parametrize("iteration", [3, 9, 14])
@pytest.mark.parametrize("interrupt", [stopped, cut_off])
def test_a_resumed_runs_file_is_that_of_the_uninterrupted_run(tmp_path, interrupt, iteration):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    configuration = configured(tmp_path / "resumed", HANDLERS)
    interrupt(configuration, iteration)
    resumed = trained(configuration)

    assert resumed.directory.losses.read_bytes() == reference.directory.losses.read_bytes()
    events = tensorboard_of(resumed.directory.tensorboard)
    assert steps(events, "validation/loss") == [9, 18]
    assert sorted(set(steps(events, "train/loss"))) == steps(events, "train/loss")


def test_a_validation_row_of_an_iteration_that_is_evaluated_again_goes(tmp_path):
    configuration = configured(tmp_path, {**HANDLERS, "checkpoint": {"every": "2 epochs", "keep_best": 0}})
    stopped(configuration, 9)
    # The evaluation that the stop prevented is made and logged; what is on disk was saved before it.
    assert rows_of(cut_off(configuration, 10))[-1]["split"] == "validation"
    run = begun(configuration)
    assert run.dispatcher.pending
    assert [row["iteration"] for row in rows_of(run)] == list(range(1, 10))
    ended(run)

    assert [row["iteration"] for row in rows_of(run) if row["split"] == "validation"] == [9, 18]


def test_what_is_torn_or_later_is_cut(tmp_path):
    path = tmp_path / "losses.jsonl"
    kept = "".join(line(i, 1, "train", {"loss": 0.5}) for i in range(1, 8)) + line(7, 1, "validation", {"loss": 1.0})
    for rest in (
        "",
        line(8, 2, "train", {"loss": 0.5}),
        line(7, 1, "test", {"loss": 0.5}),
        line(8, 2, "train", {"loss": 0.5}) + '{"iteration": 9, "ep',
        line(8, 2, "train", {"loss": 0.5})[:-1],
        "\x00" * 5000,
        "\n",
    ):
        path.write_text(kept + rest)
        truncate(path, {"train": 7, "validation": 7})
        assert path.read_text() == kept


def test_a_file_of_which_nothing_is_kept_is_empty(tmp_path):
    path = tmp_path / "losses.jsonl"
    truncate(path, {"train": 0})
    assert not path.exists()
    for text in ("", "{", line(1, 1, "train", {"loss": 0.5})):
        path.write_text(text)
        truncate(path, {"train": 0})
        assert path.read_text() == ""


def test_a_row_is_json_and_what_is_no_number_is_null():
    values = {"loss": math.nan, "kl": math.inf, "mse": 0.1, "tiny": 1e-45, "learning_rate": -math.inf}
    row = json.loads(line(12, 2, "train", values), parse_constant=lambda constant: pytest.fail(constant))

    assert row == {
        "iteration": 12, "epoch": 2, "split": "train",
        "loss": None, "kl": None, "mse": 0.1, "tiny": 1e-45, "learning_rate": None,
    }  # fmt: skip


def test_a_name_is_escaped_as_json_and_an_ordinary_one_is_written_as_it_is():
    name = 'a"b<i>\\\n'
    assert json.loads(line(1, 1, "train", {name: 0.5, "größe": 1.0}))[name] == 0.5
    expected = '{"iteration": 1, "epoch": 1, "split": "train", "loss": 0.5, "größe": 1.0}\n'
    assert line(1, 1, "train", {"loss": 0.5, "größe": 1.0}) == expected


def test_rows_read_by_another_handler_are_written_once(tmp_path):
    run = begun(configured(tmp_path, HANDLERS))
    handler = run.handlers["loss_log"]
    handler._rows.extend([Row(1, 0.1, {"loss": 0.5}, True), Row(2, 0.1, {"loss": 0.25}, True)])
    handler.flush()
    handler.flush()
    run.background.drain()
    assert [row["loss"] for row in rows_of(run)] == [0.5, 0.25]
    ended(run)


def test_nested_settings_have_dotted_names():
    content = {"a": {"b": 1, "c": None}, "handlers": [{"x": {"every": "1 epoch"}}, {"y": False}], "d": [1, 2], "e": []}
    expected = {"a.b": 1, "a.c": "None", "handlers.x.every": "1 epoch", "handlers.y": False, "d": "[1, 2]", "e": "[]"}
    assert dict(flattened(content)) == expected


def test_a_full_disk_stops_the_run(tmp_path):
    run = begun(configured(tmp_path, {"loss_log": {}}))
    run.handlers["loss_log"]._file.close()
    full = run.handlers["loss_log"]._file = Path("/dev/full").open("wb")  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        ended(run)
    with suppress(OSError):
        full.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboards_server_lists_the_run_in_its_hyper_parameters_tab(tmp_path):
    from tensorboard import program

    run = trained(configured(tmp_path, HANDLERS))
    server = program.TensorBoard()
    server.configure(argv=[None, "--logdir", str(run.directory.tensorboard), "--port", "0", "--load_fast", "false"])
    host, port = server.launch().removeprefix("http://").rstrip("/").split(":")
    connection = HTTPConnection(host, int(port), timeout=20)
    for _ in range(100):
        connection.request("POST", "/data/plugin/hparams/experiment", "{}", {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status == 200 and b"optimizer.lr" in text:
            break
    connection.close()
    assert b"optimizer.lr" in text
    assert b"validation/loss" in text


@pytest.mark.parametrize("shown", [True, False])
def test_tensorboard_shows_a_run_while_it_trains(shown, tmp_path, monkeypatch):
    if not shown:  # the control: a few points fill no buffer
        monkeypatch.setattr(TensorBoardWriter, "show", lambda self: None)
    run = begun(configured(tmp_path, {"loss_log": {"every": "1 iteration"}, "evaluation": {}}))
    seen = []

    def read():
        if run.iteration == EPOCH_LENGTH + 1:
            run.background.drain()
            scalars = tensorboard_of(run.directory.tensorboard).Tags()["scalars"]
            seen.append({"train/loss", "validation/loss"} <= set(scalars))

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, read)
    ended(run)

    assert seen == [shown]
