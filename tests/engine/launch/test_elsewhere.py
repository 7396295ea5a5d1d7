"""A run whose configuration has relative paths is continued, replayed and archived from another folder."""

import logging

import pytest

from firebox.engine.archives.loading import load_archive
from firebox.engine.commands.command_line import main

BASE = """\
model: {name: own.py:Own, width: 3}
handlers:
  - own.py:Quiet
  - image_dump: false
"""
TOP = """\
extends: base/base.yaml
datagenerator:
  {name: shapes, image_size: [8, 8], train_length: 20, validation_length: 10, test_length: 10, batch_size: 10}
module: {name: reconstruction}
training: {epochs: 1, device: cpu}
handlers+: [progress: false, model_summary: false]
"""
OWN = """\
import torch
from firebox import Handler

class Own(torch.nn.Module):
    output_activation = "linear"

    def __init__(self, input_shape, *, width: int = 1):
        super().__init__()
        self.layer = torch.nn.Conv2d(input_shape[0], input_shape[0], width, padding=1)

    def forward(self, images):
        return self.layer(images)

    encode = decode = forward

class Quiet(Handler):
    def attach(self, run):
        pass
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "base").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (project / "base/own.py").write_text(OWN)
    (project / "base/base.yaml").write_text(BASE)
    (project / "my.yaml").write_text(TOP)
    monkeypatch.chdir(project)
    yield project
    logger = logging.getLogger("firebox")
    for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def test_a_run_is_continued_replayed_archived_and_loaded_from_another_folder(project, monkeypatch, capfd):
    assert main(["train", "cae_baseline", "my.yaml", "--quiet"]) == 0, capfd.readouterr().err
    run = project / capfd.readouterr().out.splitlines()[-1]
    assert "name: ../../../../base/own.py:Own" in (run / "config.yaml").read_text()
    monkeypatch.chdir(project.parent / "elsewhere")
    longer = ["--set", "training.epochs=2", "--allow-change", "training.epochs"]
    assert main(["train", "cae_baseline", "--resume", str(run), "--quiet", *longer]) == 0, capfd.readouterr().err
    same = ["train", "cae_baseline", str(project / "my.yaml"), "--resume", str(run), "--quiet", *longer]
    assert main(same) == 0, capfd.readouterr().err
    assert main(["replay", str(run), "--iteration", "3"]) == 0, capfd.readouterr().err
    assert main(["archive", str(run), "--checkpoint", "last"]) == 0, capfd.readouterr().err
    (archive,) = (project / "runs/shapes").glob("archived_*")
    assert "name: code/own.py:Own" in (archive / "config.yaml").read_text()
    assert load_archive(archive, trust_code=True).model.layer.kernel_size == (3, 3)
    assert not any((project.parent / "elsewhere").iterdir())
