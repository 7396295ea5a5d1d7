"""Experiment trackers that are told of a run that is stopped and resumed: one record, with all that was sent."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

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


CLEARML = """
import sys
from pathlib import Path

from tests.handlers.test_continued_records import stopped_and_resumed

parameters = {"project_name": "own", "task_name": "first", "auto_connect_frameworks": False}
run, before, after = stopped_and_resumed(Path(sys.argv[1]), "ClearMLLogger", parameters)
assert before == after, (before, after)
assert not run.observers["tracker"].off
"""


def test_a_resumed_run_goes_on_in_the_same_offline_task_of_clearml_and_ends(tmp_path):
    pytest.importorskip("clearml")
    # In a process of its own, because ClearML replaces functions of Python's. It closed slowly or never, before.
    environment = {**os.environ, "HOME": str(tmp_path), "CLEARML_OFFLINE_MODE": "1"}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CLEARML, str(tmp_path)]
    subprocess.run(command, cwd=root, env=environment, check=True, timeout=120)
    (task,) = tmp_path.glob(".clearml/cache/offline/offline-*/task.json")
    kept = json.loads(task.read_text())
    assert kept["hyperparams"]["General"]["model.latent_dim"]["value"] == "4"
    sent = [each for line in task.with_name("metrics.jsonl").read_text().splitlines() for each in json.loads(line)]
    points = {each["iter"]: each["value"] for each in sent if (each["metric"], each["variant"]) == ("train", "loss")}
    rows = (tmp_path / "runs/shapes/linear_autoencoder/run/losses.jsonl").read_text().splitlines()
    losses = {row["iteration"]: row["loss"] for row in map(json.loads, rows) if row["split"] == "train"}
    assert {6, 12, 18} <= set(points) <= {6, 12, 13, 18}
    assert points == pytest.approx({step: losses[step] for step in points})
    validation = {each["iter"] for each in sent if (each["metric"], each["variant"]) == ("validation", "psnr")}
    assert validation == {9, 18}


def test_a_tracker_that_does_not_close_is_left(monkeypatch):
    from firebox.handlers import tracked_record

    class Hanging:
        def close(self):
            time.sleep(600)

    monkeypatch.setattr(tracked_record, "CLOSING_SECONDS", 0.2)
    with pytest.raises(TimeoutError, match=r"ClearMLLogger has not closed within 0.2 s"):
        tracked_record.ClearMLRecord("ClearMLLogger", {}).close(Hanging())


def test_a_resumed_run_goes_on_in_the_same_run_of_aim(tmp_path):
    aim = pytest.importorskip("aim")
    parameters = {"repo": str(tmp_path), "log_system_params": False, "capture_terminal_logs": False}
    run, before, after = stopped_and_resumed(tmp_path, "AimLogger", parameters)
    repository = aim.Repo.from_path(str(tmp_path))
    assert repository.list_all_runs() == [before] == [after]
    found = aim.Run(before, repo=repository, system_tracking_interval=None, log_system_params=False)
    assert found["hparams"]["model.latent_dim"] == 4
    curves = {
        (name, context["subset"]): context for name, context, _ in found.iter_metrics_info() if "subset" in context
    }
    points = dict(found.get_metric("loss", curves["loss", "train"]).dataframe()[["step", "value"]].values.tolist())
    losses = losses_of(run)
    assert {6, 12, 18} <= set(points) <= {6, 12, 13, 18}
    assert points == pytest.approx({step: losses[step] for step in points})
    assert set(found.get_metric("psnr", curves["psnr", "val"]).dataframe()["step"]) == {9, 18}
    found.close()


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
