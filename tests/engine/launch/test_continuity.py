"""A run that is resumed knows its own code, its configuration, and what it ran in."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import read
from firebox.engine.configuration.identity import aligned
from firebox.engine.configuration.plain_values import comparable
from firebox.engine.configuration.values import recorded_values
from firebox.engine.records.own_code import read_code
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import forget

MODEL = """\
import torch
from parts import make

class Own(torch.nn.Module):
    output_activation = "linear"

    def __init__(self, input_shape, *, width: int = 1):
        super().__init__()
        self.layer = make(input_shape[0], width)

    def forward(self, images):
        return self.layer(images)

    encode = decode = forward
"""
PARTS = "import torch\n\ndef make(channels, width):\n    return torch.nn.Conv2d(channels, channels, width, padding=1)\n"
HANDLER = "from firebox import Handler\n\nclass Quiet(Handler):\n    def attach(self, run): ...\n"
TOP = """\
datagenerator:
  {name: shapes, image_size: [8, 8], train_length: 20, validation_length: 10, test_length: 10, batch_size: 10}
model: {name: models/own.py:Own, width: 3}
module: {name: reconstruction}
training: {epochs: 1, device: cpu}
handlers: [handlers/own.py:Quiet, image_dump: false, progress: false, model_summary: false]
"""
LONGER = ["--set", "training.epochs=2", "--allow-change", "training.epochs"]
TRAIN = ["train", "cae_baseline"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = tmp_path / "project"
    files = {"models/own.py": MODEL, "models/parts.py": PARTS, "handlers/own.py": HANDLER, "my.yaml": TOP}
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    monkeypatch.chdir(project)
    forget()
    yield project
    forget()
    logger = logging.getLogger("firebox")
    for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def trained(project, capfd, *options):
    assert main([*TRAIN, "my.yaml", "--quiet", *options]) == 0, capfd.readouterr().err
    run = project / capfd.readouterr().out.splitlines()[-1]
    forget()
    return run


def resumed(capfd, *options, code=0):
    forget()
    ended = main([*TRAIN, "--quiet", *map(str, options)])
    output = capfd.readouterr()
    assert ended == code, output.err
    return output.err


def test_a_run_keeps_the_files_of_all_its_parts_with_their_digests(project, capfd):
    run = trained(project, capfd)
    code, values = read_code(run / "code")
    assert {name: content.decode() for name, content in code.contents.items()} == {
        "models/own.py": MODEL,
        "models/parts.py": PARTS,
        "handlers/own.py": HANDLER,
    }
    assert code.parts["model"].names == ("models/own.py", "models/parts.py")
    assert code.parts["handlers.Quiet"].reference == "code/handlers/own.py:Quiet"
    assert values["model"]["name"] == "../../../../models/own.py:Own"
    record = json.loads((run / "code/record.json").read_text())
    assert set(record["files"]["models/parts.py"]) == {"sha256", "bytes"}


def test_changed_code_is_refused_named_and_can_be_allowed(project, capfd):
    run = trained(project, capfd)
    (project / "models/parts.py").write_text(PARTS.replace("channels, channels", "channels, channels "))
    said = resumed(capfd, "--resume", run, *LONGER, code=2)
    assert "model: its code has changed since the run began: parts.py (SHA-256 " in said
    assert f"kept in {run}/code/models, or --allow-change code" in said
    assert not list(run.glob("code_until*"))
    said = resumed(capfd, "--resume", run, *LONGER, "--allow-change", "code")
    assert "model: its code has changed: parts.py (SHA-256" in said
    assert (run / "code_until_iteration_00000002/models/parts.py").read_text() == PARTS
    assert (run / "code/models/parts.py").read_text() != PARTS


def test_changed_code_of_a_handler_comes_with_the_handlers(project, capfd):
    run = trained(project, capfd)
    (project / "handlers/own.py").write_text(f"{HANDLER}\nX = 1\n")
    assert "handlers.Quiet: its code has changed" in resumed(capfd, "--resume", run, *LONGER, code=2)
    resumed(capfd, "--resume", run, *LONGER, "--allow-change", "handlers")


def test_unchanged_code_resumes_without_a_word_of_it(project, capfd):
    run = trained(project, capfd)
    assert "code" not in resumed(capfd, "my.yaml", "--resume", run, *LONGER)
    assert not list(run.glob("code_until*"))


def test_an_edited_configuration_is_refused_with_the_key_and_both_values(project, capfd):
    run = trained(project, capfd)
    text = (run / "config.yaml").read_text()
    assert "lr: 0.001" in text
    (run / "config.yaml").write_text(text.replace("lr: 0.001", "lr: 0.5"))
    said = resumed(capfd, "--resume", run, *LONGER, code=2)
    assert "config.yaml was edited after the run wrote it: optimizer.lr" in said
    assert "optimizer.lr: the run has 0.001" in said and "now 0.5" in said
    # The control: given as the run has it, it goes on, and the file is written anew.
    resumed(capfd, "my.yaml", "--resume", run, *LONGER)
    assert "lr: 0.001" in (run / "config.yaml").read_text()


def test_an_edit_is_noticed_by_the_checkpoints_too(project, capfd):
    run = trained(project, capfd)
    shutil.rmtree(run / "code")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("lr: 0.001", "lr: 0.5"))
    said = resumed(capfd, "--resume", run, *LONGER, code=2)
    assert "the checkpoint of iteration 2 was written under another configuration" in said
    (run / "config.yaml").write_text(text)
    resumed(capfd, "--resume", run, *LONGER)


@pytest.mark.parametrize(
    "setting", ["scheduler={name: cosine}", "handlers.ema={decay: 0.5}", "datagenerator.workers=1"]
)
def test_what_was_changed_by_consent_is_no_edit_to_the_checkpoints(project, capfd, setting):
    run = trained(project, capfd)
    key = setting.partition("=")[0]
    change = ["--set", setting, "--allow-change", "handlers" if key.startswith("handlers") else key]
    resumed(capfd, "--resume", run, *LONGER, *change)
    longest = ["--set", "training.epochs=3", "--allow-change", "training.epochs"]
    resumed(capfd, "--resume", run, *longest)


def test_an_edit_of_what_may_change_is_allowed_by_its_key(project, capfd):
    run = trained(project, capfd)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("epochs: 1", "epochs: 2"))
    resumed(capfd, "--resume", run, code=2)
    (run / "status.json").write_text('{"status": "interrupted", "iteration": 2, "reason": "x"}')
    resumed(capfd, "--resume", run, "--allow-change", "training.epochs")
    assert json.loads((run / "status.json").read_text())["iteration"] == 4


@pytest.mark.parametrize(
    ("key", "value", "said", "allowed"),
    [
        ("threads", 77, "--set training.threads=77", "threads"),
        ("device", "cuda:0", "the run was on cuda, now on cpu", "training.device"),
        ("packages", {"torch": "0.0.1"}, "torch was 0.0.1, now ", "versions"),
    ],
)
def test_other_circumstances_are_refused_and_can_be_allowed(project, capfd, key, value, said, allowed):
    run = trained(project, capfd)
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**environment, key: value}))
    told = resumed(capfd, "--resume", run, *LONGER, code=2)
    assert said in told and f"--allow-change {allowed}" in told
    told = resumed(capfd, "--resume", run, *LONGER, "--allow-change", allowed)
    assert said.partition("=")[0].removeprefix("--set training.") in told


def test_what_changes_no_bits_is_said(project, capfd):
    run = trained(project, capfd)
    environment = json.loads((run / "environment.json").read_text())
    environment |= {"device_name": "another", "python": "3.0", "packages": {"tensorboardX": "0"}}
    (run / "environment.json").write_text(json.dumps(environment))
    assert "the run was on another, now on " in resumed(capfd, "--resume", run, *LONGER)


def test_a_project_that_moved_with_its_runs_goes_on(project, capfd, monkeypatch, tmp_path):
    run = trained(project, capfd)
    monkeypatch.chdir(tmp_path)
    project.rename(tmp_path / "moved")
    moved = tmp_path / "moved" / run.relative_to(project)
    resumed(capfd, "--resume", moved, *LONGER)
    resumed(capfd, tmp_path / "moved/my.yaml", "--resume", moved, *LONGER)


def test_a_project_that_moved_away_from_its_run_goes_on_with_its_configuration(project, capfd, tmp_path):
    run = trained(project, capfd, "--set", f"output.root={tmp_path}/runs")
    for name in ("models", "handlers", "my.yaml"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        shutil.move(project / name, tmp_path / "elsewhere" / name)
    said = resumed(capfd, "--resume", run, *LONGER, code=2)
    assert "no such file" in said
    resumed(capfd, tmp_path / "elsewhere/my.yaml", "--resume", run, *LONGER)


def test_the_code_that_a_run_kept_takes_the_place_of_files_that_are_gone(project, capfd):
    run = trained(project, capfd)
    shutil.rmtree(project / "models")
    said = resumed(capfd, "--resume", run, *LONGER, code=2)
    way_out = f"model.name={run}/code/models/own.py:Own"
    assert f"--set {way_out}" in said
    resumed(capfd, "--resume", run, *LONGER, "--set", way_out)


def test_a_handler_whose_file_is_gone_may_go(project, capfd):
    run = trained(project, capfd)
    shutil.rmtree(project / "handlers")
    assert "no such file" in resumed(capfd, "--resume", run, *LONGER, code=2)
    said = resumed(capfd, "--resume", run, *LONGER, "--allow-change", "handlers")
    assert "handlers/own.py:Quiet is left out: its file is gone" in said
    (project / "my.yaml").write_text(TOP.replace("handlers/own.py:Quiet, ", ""))
    longest = ["--set", "training.epochs=3", "--allow-change", "training.epochs"]
    resumed(capfd, "my.yaml", "--resume", run, *longest)


def test_the_same_data_at_another_place_goes_on(tmp_path, capfd, monkeypatch):
    from PIL import Image

    for split in ("a", "b"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8), number * 20).save(tmp_path / "data" / split / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    data = "datamodule: {name: image_folder, root: ./data, image_size: [8, 8], color: grayscale, batch_size: 4}\n"
    text = TOP.replace(TOP[: TOP.index("model:")], data).replace("models/own.py:Own, width: 3", "linear_autoencoder")
    (tmp_path / "my.yaml").write_text(text.replace("handlers/own.py:Quiet, ", ""))
    run = trained(tmp_path, capfd)
    absolute = ["--set", f"datamodule.root={tmp_path}/data"]
    assert "datamodule.root" not in resumed(capfd, "my.yaml", "--resume", run, *LONGER, *absolute)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    more = ["--set", "training.epochs=3", "--allow-change", "training.epochs"]
    given = read(TRAINER.name, TRAINER.default, Path("my.yaml"), ["datamodule.root=elsewhere"])
    _, said = aligned(comparable(recorded_values(run / "config.yaml")), given, run)
    assert said == [f"datamodule.root: now {tmp_path}/elsewhere, so far {tmp_path}/data"]
    resumed(capfd, "my.yaml", "--resume", run, *more, "--set", "datamodule.root=elsewhere")
    said = resumed(capfd, "--resume", run, *more, "--set", "datamodule.image_size=[4,4]", code=2)
    assert "datamodule.image_size: the run has [8, 8]" in said
