"""Experiment trackers that are told of a run that is stopped and resumed: one record, with all that was sent."""

import json
import struct

import pytest

from tests.handlers.runs import configured, rows_of, stopped, trained
from tests.soaking import soak

# Of the trackers' own insides.
pytestmark = pytest.mark.filterwarnings("ignore")


def tracked(folder, logger, parameters):
    tracker = {"logger": logger, "parameters": parameters, "every": "6 iterations"}
    return configured(folder, {"checkpoint": {}, "loss_log": {}, "evaluation": {}, "tracker": tracker})


def stopped_and_resumed(folder, logger, parameters):
    """Returns the resumed run, and the identities of the record before and after."""
    before = stopped(tracked(folder, logger, parameters), 13)
    after = trained(tracked(folder, logger, parameters))
    assert (before.iteration, after.iteration) == (13, 18)
    return after, *(run.handlers["tracker"].state_dict()["identity"] for run in (before, after))


def losses_of(run):
    return {row["iteration"]: row["loss"] for row in rows_of(run) if row["split"] == "train"}


def test_a_resumed_run_goes_on_in_the_same_run_of_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    run, before, after = stopped_and_resumed(tmp_path, "MLflowLogger", {"tracking_uri": address})
    client = mlflow.MlflowClient(address)
    (found,) = client.search_runs(["0"])
    assert found.info.run_id == before == after
    assert found.info.status == "FINISHED"
    losses = losses_of(run)
    points = {point.step: point.value for point in client.get_metric_history(found.info.run_id, "train loss")}
    assert {6, 12, 18} <= set(points) <= {6, 12, 13, 18}
    assert points == pytest.approx({step: losses[step] for step in points})
    validation = client.get_metric_history(found.info.run_id, "validation psnr")
    assert [point.step for point in validation] == [9, 18]
    assert found.data.params["model.latent_dim"] == "4"
    assert not [name for name in found.data.params if "tracker" in name], "an address may hold a password"


@soak
def test_without_the_identity_a_resumed_run_would_begin_another(tmp_path, monkeypatch):
    """The control: the identity in the checkpoint is what holds the two together."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    from firebox.handlers.tracker import Tracker

    monkeypatch.setattr(Tracker, "load_state_dict", lambda self, state: None)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    _, before, after = stopped_and_resumed(tmp_path, "MLflowLogger", {"tracking_uri": address})
    assert before != after
    assert len(mlflow.MlflowClient(address).search_runs(["0"])) == 2


@soak
def test_a_resumed_run_goes_on_in_the_same_offline_run_of_wandb(tmp_path):
    pytest.importorskip("wandb")
    parameters = {"project": "own", "mode": "offline", "dir": str(tmp_path), "settings": {"console": "off"}}
    run, before, after = stopped_and_resumed(tmp_path, "WandBLogger", parameters)
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert [file.name for file in files] == [f"run-{before}.wandb"] * 2 == [f"run-{after}.wandb"] * 2
    points, settings = {}, set()
    for record in (record for file in files for record in records_of(file)):
        told = [*record.run.config.update, *record.config.update]
        settings |= {item.key or ".".join(item.nested_key) for item in told}
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "train/loss" in values:
            points[values["_step"]] = values["train/loss"]
    losses = losses_of(run)
    assert {6, 12, 18} <= set(points)
    assert points == pytest.approx({step: losses[step] for step in points})
    assert "model.latent_dim" in settings


def records_of(file):
    """Yields the records of a file of W&B: LevelDB's log format, after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (room := 32768 - at % 32768) < 7:
            at += room
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""
