"""losses.jsonl and TensorBoard's curves."""

import json
import math
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from ignite.engine import Events

from firebox.engine.configuration.plain_values import flattened
from firebox.engine.records.tensorboard import TensorBoardWriter
from firebox.engine.training.updates.losses import Row
from firebox.handlers.loss_log import LossLog, line, truncate
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

    for tag in ("loss/train", "optimization/learning_rate", "optimization/images_per_second"):
        assert steps(events, tag) == [4, 8, 12, 16, 18]
    assert steps(events, "loss/validation") == [9, 18]
    assert steps(events, "metrics/psnr/validation") == [9, 18]
    assert steps(events, "test/psnr") == [18]
    losses = {row["iteration"]: row["loss"] for row in rows_of(run) if row["split"] == "train"}
    assert all(event.value == pytest.approx(losses[event.step]) for event in events.Scalars("loss/train"))
    assert all(event.value > 0 for event in events.Scalars("optimization/images_per_second"))


def test_tensorboards_files_are_in_the_runs_own_directory(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    files = [path for path in run.directory.path.rglob("*") if "tfevents" in path.name]

    assert [path.parent for path in files] == [run.directory.path]


def test_the_hyper_parameters_are_what_was_set_and_the_rest_is_text(tmp_path):
    run = trained(configured(tmp_path, HANDLERS, optimizer={"weight_decay": 0.5}))
    events = tensorboard_of(run.directory.tensorboard)
    contents = events.PluginTagToContent("hparams")
    started = contents["_hparams_/session_start_info"]

    # No run claims to know the columns of all, which TensorBoard would believe.
    assert set(contents) == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    assert all(key in started for key in (b"seed", b"optimizer.weight_decay", b"model.latent_dim", b"training.epochs"))
    assert not any(
        key in started for key in (b"optimizer.lr", b"optimizer.eps", b"output", b"handlers.evaluation.every")
    )
    text = events.Tensors("settings")[0].tensor_proto.string_val[0].decode()
    assert "| optimizer.weight\\_decay | 0.5 | yes |" in text and "| optimizer.lr | 0.002 |  |" in text


def test_the_results_are_a_table_of_every_metric_of_each_split(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    text = tensorboard_of(run.directory.tensorboard).Tensors("results")[0].tensor_proto.string_val[0].decode()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]

    assert header == ["metric", "validation", "test"]
    assert [row[0] for row in rows] == ["loss", "psnr", "ssim"]
    assert rows[0][1:] == [f"{run.metrics['validation/loss']:.6g}", f"{run.metrics['test/loss']:.6g}"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_resumed_run_without_event_files_of_its_own_has_its_curves_from_losses_jsonl(tmp_path, whole, monkeypatch):
    if not whole:  # the control
        monkeypatch.setattr(LossLog, "_repeat", lambda self, every: None)
    configuration = configured(tmp_path, HANDLERS)
    run = stopped(configuration, 14)
    old = run.directory.path / "tensorboard"
    old.mkdir()
    for file in run.directory.path.glob("events.out.tfevents.*"):
        file.rename(old / file.name)  # where runs had them until version 0.1
    resumed = trained(configuration)
    events = tensorboard_of(resumed.directory.tensorboard)

    losses = {row["iteration"]: row["loss"] for row in rows_of(resumed) if row["split"] == "train"}
    assert (steps(events, "loss/train") == [4, 8, 12, 16, 18]) is whole
    assert (steps(events, "loss/validation") == [9, 18]) is whole
    assert steps(events, "optimization/learning_rate") == steps(events, "loss/train")
    assert all(event.value == pytest.approx(losses[event.step]) for event in events.Scalars("loss/train"))


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
    assert steps(events, "loss/validation") == [9, 18]
    assert sorted(set(steps(events, "loss/train"))) == steps(events, "loss/train")


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
        if response.status == 200 and b"model.latent_dim" in text:
            break
    connection.close()
    assert b"model.latent_dim" in text
    assert b"loss/validation" in text


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
            seen.append({"loss/train", "loss/validation"} <= set(scalars))

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, read)
    ended(run)

    assert seen == [shown]
