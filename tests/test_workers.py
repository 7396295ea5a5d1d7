"""Runs whose data workers read, from a user's own files, however multiprocessing starts the workers."""

import multiprocessing

import pytest
import yaml

from tests.exactness import Forked, only_run, output, run_python
from tests.test_endings import GUARD, SCRIPT, status

DATA = '''
"""Data in a file that is called as a module of the standard library, beside others of such names."""

import torch
from firebox import DataModule, DatasetImages, ImageSpecification

from . import queue
from .email.parser import value_of


class Samples(torch.utils.data.Dataset):
    def __init__(self, length, held):
        self.length, self.held = length, held

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.held:
            raise LookupError("nothing here")
        return value_of(index) + torch.randint(0, queue.NOISE, (1, 8, 8), dtype=torch.uint8)


class Data(DataModule):
    """Images of one grey, with noise."""

    def __init__(self, *, held: str = "") -> None:
        self.held = held

    specification = ImageSpecification((1, 8, 8))
    split_lengths = {"train": 40, "validation": 10}

    def read(self, split):
        held = {"lambda": lambda: None, "failing": 9, "file": open(__file__)}.get(self.held)
        return DatasetImages(Samples(self.split_lengths[split], held if split == "validation" else None))
'''


def project(folder, name="mine/random.py:Data", **data):
    """Writes a user's project, and returns its configuration."""
    content = {
        "trainer": "cae_baseline",
        "seed": 3,
        "datamodule": {"name": name, "batch_size": 8, "placement": "stream", **data},
        "model": {"name": "linear_autoencoder", "latent_dim": 4},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "adam", "lr": 0.002},
        "training": {"epochs": 2, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [{"image_dump": False}, {"model_summary": False}],
    }
    files = {
        "mine/random.py": DATA,
        "mine/queue.py": "NOISE = 3\n",
        "mine/email/__init__.py": "",
        "mine/email/parser.py": "def value_of(index):\n    return index % 7\n",
        "config.yaml": yaml.safe_dump(content),
    }
    for place, text in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    return folder / "config.yaml"


def losses(folder):
    return (only_run(folder) / "losses.jsonl").read_text()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The losses of a run without workers."""
    folder = tmp_path_factory.mktemp("expected")
    configuration = project(folder)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    return losses(folder)


@pytest.mark.parametrize(("method", "workers"), [("fork", 1), ("forkserver", 2), ("spawn", 1)])
def test_a_run_over_a_users_own_files_is_the_same_however_workers_are_started(tmp_path, expected, method, workers):
    configuration = project(tmp_path, workers=workers)
    (tmp_path / "script.py").write_text(SCRIPT.format(method=method, guard=GUARD))
    done = run_python(tmp_path / "script.py", configuration)
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path) == expected
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def start_by(method):
    return lambda: multiprocessing.set_start_method(method, force=True)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize(("held", "why"), [("lambda", "<lambda>"), ("file", "_io.TextIOWrapper")])
def test_a_split_that_cant_be_handed_to_workers_is_refused_before_the_training(tmp_path, method, held, why):
    configuration = project(tmp_path, workers=2, held=held)
    assert Forked(str(configuration), prepare=start_by(method)).wait() == 2, output(configuration)
    shown = output(configuration)
    assert f"{configuration}:" in shown
    assert f"datamodule.workers: the data can't be handed to worker processes that are started by {method}: " in shown
    assert "Samples.held: " in shown
    assert why in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_an_error_of_a_users_data_set_in_a_worker_is_one_line_of_the_run(tmp_path, method):
    configuration = project(tmp_path, workers=1, held="failing")
    assert Forked(str(configuration), prepare=start_by(method)).wait() == 1, output(configuration)
    reason = status(tmp_path)["reason"]
    assert reason.startswith("the data set Samples: sample 9: LookupError: nothing here (")
    assert f"{tmp_path}/mine/random.py:20" in reason
    assert "Traceback" not in output(configuration)
