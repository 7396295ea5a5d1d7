"""What a user's own code raises, at any stage, is one line that names the part and the place."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from firebox.engine.configuration import read
from firebox.engine.launch import launch
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import SCRIPT, run_python
from tests.handlers.runs import configured

MODULE = """
import torch
from ignite.metrics import Metric
from firebox import Module
from firebox.modules.reconstruction import Reconstruction

class Broken(Metric):
    def reset(self): pass
    def update(self, output): pass
    def compute(self): raise ZeroDivisionError("no samples")

class Mine(Reconstruction):
    def training_step(self, batch, update):
        if update.iteration == 3 and "{where}" == "training_step":
            raise ValueError("a mistake")
        return super().training_step(batch, update)

    def evaluation_step(self, batch):
        if "{where}" == "evaluation_step" and not torch.jit.is_scripting() and len(batch.images) == 7:
            raise KeyError("a mistake")
        return super().evaluation_step(batch)

    def metrics(self, device):
        metrics = super().metrics(device)
        return {{**metrics, "broken": Broken()}} if "{where}" == "metric" else metrics
"""
MODEL = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, input_shape):
        super().__init__()
        self.layer = torch.nn.Conv2d(input_shape[0], input_shape[0], 1)
        self.calls = 0

    def forward(self, images):
        self.calls += self.training and not isinstance(images, torch._subclasses.FakeTensor)
        if self.calls > 3:
            return self.layer(images.flatten(1))
        return self.layer(images).sigmoid()
"""


@pytest.fixture(autouse=True)
def _everything_logged(caplog):
    caplog.set_level("DEBUG", "firebox")


def failed(configuration, caplog):
    """Returns the reason of a run that fails; it is all that the console shows of it."""
    assert launch.train(configuration, None, StopRequest()) == launch.FAILED
    directory = RunDirectory(configuration.directory / configuration.output.version)
    status = json.loads((directory.path / "status.json").read_text())
    assert status["status"] == "failed"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [status["reason"]]
    assert all(record.exc_info is None for record in caplog.records if record.levelno > 10)
    return status["reason"]


@pytest.mark.parametrize(
    ("where", "reason", "line"),
    [
        ("training_step", "module {file}:Mine: a mistake", 15),
        ("evaluation_step", "module {file}:Mine: KeyError: 'a mistake'", 20),
        ("metric", "the metric Broken: ZeroDivisionError: no samples", 10),
    ],
)
def test_a_module_or_a_metric_that_raises_is_named_with_its_line(tmp_path, caplog, where, reason, line):
    file = tmp_path / "mine.py"
    file.write_text(MODULE.format(where=where))
    data = {"batch_size": 10, "validation_length": 17, "evaluation_batch_size": 10}
    sections = {"module": {"name": f"{file}:Mine"}, "datagenerator": data}

    assert failed(configured(tmp_path, {"evaluation": {}}, **sections), caplog) == (
        f"{reason.format(file=file)} ({file}:{line})"
    )


def test_a_model_that_raises_is_named_with_its_line(tmp_path, caplog):
    file = tmp_path / "mine.py"
    file.write_text(MODEL)
    configured(tmp_path, {}, model=None)
    path = tmp_path / "configuration.yaml"
    path.write_text(f"{path.read_text()}model: {{name: '{file}:Mine'}}\n")
    reason = failed(read("cae_baseline", TRAINER.default, path), caplog)
    assert "Traceback (most recent call last)" in caplog.text  # at the level that the console does not show

    assert reason.startswith(f"model {file}:Mine: RuntimeError: ")
    assert reason.endswith(f"({file}:13)")


DATA = """
import sys
import torch
from firebox import DataModule, DatasetImages, ImageSpecification

class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 90

    def __getitem__(self, index):
        if index == 77:
            {raising}
        return torch.zeros(1, 8, 8, dtype=torch.uint8)

class Mine(DataModule):
    @property
    def specification(self):
        return ImageSpecification((1, 8, 8))

    @property
    def split_lengths(self):
        return {{"train": 90}}

    def read(self, split):
        return DatasetImages(Samples())
"""


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("raising", "said"),
    [
        ("raise LookupError('gone')", "sample 77: LookupError: gone ({file}:12)"),
        ("sys.exit(3)", "sample 77: SystemExit: 3 ({file}:12)"),
        ("return torch.zeros(1, 8, 9)", "make no batch: RuntimeError: "),
    ],
)
def test_a_data_set_that_raises_is_named_with_its_sample(tmp_path, caplog, workers, raising, said):
    file = tmp_path / "mine.py"
    file.write_text(DATA.format(raising=raising))
    data = {"name": f"{file}:Mine", "batch_size": 10, "workers": workers}
    reason = failed(configured(tmp_path, {}, datagenerator=None, datamodule=data), caplog)

    assert reason.startswith("the data set Samples: sample")
    assert said.format(file=file) in reason


def folder_of_images(folder):
    for number in range(24):
        Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(folder / f"{number:02d}.png")
    data = {"name": "image_folder", "root": str(folder), "image_size": [8, 8], "color": "grayscale", "batch_size": 4}
    data |= {"cache": "off"}  # where samples are kept, all files are decoded before the training
    return {"datagenerator": None, "datamodule": {**data, "validation_fraction": 0}}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_torn_image_is_named(tmp_path, caplog, workers):
    images = tmp_path / "images"
    images.mkdir()
    sections = folder_of_images(images)
    sections["datamodule"]["workers"] = workers
    torn = images / "20.png"
    torn.write_bytes(torn.read_bytes()[:40])
    reason = failed(configured(tmp_path, {}, **sections), caplog)

    assert f"{torn} can't be read as an image: " in reason
    assert reason.endswith("replace the file, or move it out of the folder")


def test_a_huge_image_is_named_with_the_limit_and_a_way_out(tmp_path, caplog, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    sections = folder_of_images(images)
    Image.fromarray(np.zeros((80, 80), np.uint8)).save(images / "20.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    reason = failed(configured(tmp_path, {}, **sections), caplog)

    assert f"{images}/20.png is too large: Pillow refuses images of more than 2,000 pixels" in reason
    assert reason.endswith("scale the file down, or move it out of the folder")


HANDLER = """
from firebox import Handler, Phase

class Panic(BaseException):
    pass

class Own(Handler):
    phase = Phase.LOG

    def attach(self, run):
        run.every("2 iterations", self.act, self.phase)
        run.losses.subscribe(lambda rows: {subscribed})

    def act(self):
        {acting}
"""


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"acting": "raise Panic('attempt to add with overflow')"}, "Panic: attempt to add with overflow ({file}:15)"),
        ({"acting": "next(iter(()))"}, "StopIteration ({file}:15)"),
        ({"subscribed": "1 / 0"}, "ZeroDivisionError: division by zero ({file}:12)"),
    ],
)
def test_a_handler_is_named_whatever_it_raises_and_wherever_it_is_called_from(tmp_path, caplog, parts, said):
    file = tmp_path / "own.py"
    file.write_text(HANDLER.format(**{"acting": "pass", "subscribed": "None", **parts}))
    configuration = configured(tmp_path, {"loss_log": {}, f"{file}:Own": {}})

    assert failed(configuration, caplog) == f"handlers.{file}:Own: {said.format(file=file)}"


MISTAKEN = """
from firebox import DataModule, ImageSpecification
from firebox.modules.reconstruction import Reconstruction

class Module(Reconstruction):
    def {method}(self, *arguments):
        raise {error}("a mistake")

class Data(DataModule):
    specification = ImageSpecification((1, 8, 8))
    split_lengths = {{"train": 90}}

    def read(self, split):
        raise {error}("a mistake")
"""


@pytest.mark.parametrize("error", ["ValueError", "SystemExit"])
@pytest.mark.parametrize("part", ["parameters", "metrics", "read"])
def test_what_a_part_raises_while_a_run_is_assembled_is_refused_where_the_part_is_named(tmp_path, part, error):
    file = tmp_path / "own.py"
    file.write_text(MISTAKEN.format(error=error, method=part if part != "read" else "summary"))
    sections, key = {"module": {"name": f"{file}:Module"}}, "module"
    if part == "read":
        sections, key = {"datagenerator": None, "datamodule": {"name": f"{file}:Data", "batch_size": 10}}, "datamodule"
    configuration = configured(tmp_path, {}, **sections)
    with pytest.raises(Refusal) as refused:
        build(configuration)
    (problem,) = refused.value.problems

    assert problem.key == key
    assert problem.message == ("a mistake" if error == "ValueError" else f"{error}: a mistake")
    assert problem.mark is not None


ARCHIVED = """
import os
from firebox.modules.reconstruction import Reconstruction

class Own(Reconstruction):
    def {method}(self, *arguments):
        if "GONE" in os.environ:
            raise RuntimeError("the share is not mounted")
        return super().{method}(*arguments)
"""


@pytest.mark.parametrize(
    ("method", "place"), [("evaluation_step", "code/own.py:8: "), ("metrics", "config.yaml:1:1  module: ")]
)
def test_code_that_fails_while_its_run_is_archived_is_refused_in_one_line(tmp_path, method, place):
    file = tmp_path / "own.py"
    file.write_text(ARCHIVED.format(method=method))
    configuration = configured(tmp_path, {"checkpoint": {}, "evaluation": {}}, module={"name": f"{file}:Own"})
    assert launch.train(configuration, None, StopRequest()) == 0
    run = configuration.directory / "run"
    options = ["-m", "firebox", "archive", str(run), "--checkpoint", "last"]
    done = run_python(*options, env={**os.environ, "GONE": "1"})

    assert done.returncode == 2
    # Not by the name of the copy that the code is run from, which is gone by then.
    assert done.stderr.splitlines()[-1] == f"{run}/{place}RuntimeError: the share is not mounted"
    assert "Traceback" not in done.stderr
    assert run_python(*options).returncode == 0


@pytest.mark.parametrize("error", ["sys.exit(0)", "raise KeyboardInterrupt", "raise RuntimeError('no')"])
def test_a_handler_that_leaves_while_it_is_made_is_refused_in_one_line(tmp_path, error):
    file = tmp_path / "own.py"
    file.write_text(
        "import sys\nfrom firebox import Handler\n\nclass Own(Handler):\n    def __init__(self):\n"
        f"        {error}\n\n    def attach(self, run):\n        pass\n"
    )
    configured(tmp_path, {f"{file}:Own": {}})
    done = run_python(SCRIPT, str(tmp_path / "configuration.yaml"))

    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_replay_without_the_data_is_refused_in_one_line(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    configuration = configured(tmp_path, {"loss_log": {}}, **folder_of_images(images))
    assert launch.train(configuration, None, StopRequest()) == 0
    images.rename(tmp_path / "elsewhere")
    run = configuration.directory / "run"
    done = run_python("-m", "firebox", "replay", str(run), "--iteration", "3")

    assert done.returncode == 2
    assert f"there is no folder {images}" in done.stderr
    assert done.stderr.splitlines()[-1] == "refused before training: 1 problem"
    assert "Traceback" not in done.stderr


def test_a_replay_on_another_device_is_refused_or_said(tmp_path):
    configuration = configured(tmp_path, {"loss_log": {}})
    assert launch.train(configuration, None, StopRequest()) == 0
    run = configuration.directory / "run"
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**environment, "device": "cuda:0", "device_name": "A100"}))
    done = run_python("-m", "firebox", "replay", str(run), "--iteration", "3")
    assert done.returncode == 0, done.stderr
    assert "iteration 3 was recorded on cuda:0 (A100) and is recomputed on cpu: the last bits may differ" in done.stderr

    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("device: cpu", "device: cuda:7"))
    done = run_python("-m", "firebox", "replay", str(run), "--iteration", "3")
    assert done.returncode == 2
    assert "got cuda:7, expected one that is here: cpu" in done.stderr
    assert "Traceback" not in done.stderr
