"""All guards run, on fake tensors, and report together; what is fast stays fast."""

import io
import os
import subprocess
import sys

import numpy
import pytest

from firebox.engine.checks.rehearsal import Rehearsal
from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.console import size
from firebox.foundation.package import ROOT
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from firebox.trainers.train_classifier_baseline import TRAINER as CLASSIFIER
from tests import exactness

SCRIPT = str(ROOT / "trainers" / "train_cae_baseline.py")


def configured(*assignments, trainer=TRAINER):
    return read(trainer.name, trainer.default, None, ["training.device=cpu", *assignments])


def run_python(*arguments, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_problems_of_several_guards_come_together_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(
        "module: {name: reconstruction, loss: bce}\n"
        "training: {epochs: 2, accumulation: 6000}\n"
        "datamodule: {name: fashion_mini, batch_size: 5500}\n"
        "scheduler: {name: cosine, warmup: 4 epochs}\n"
        "handlers:\n"
        "  - image_dump: {every: 3 epochs}\n"
        "  - early_stopping: {monitor: validation/lss}\n"
        "model: {name: cae_baseline, output_activation: tanh}\n"
        "output: {root: x.yaml/y}\n"
    )
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, path, [f"output.root={path}/y"]), TRAINER)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == [
        "output.root",
        "training.accumulation",
        "datamodule.batch_size",
        "scheduler.warmup",
        "handlers.image_dump.every",
        "handlers.early_stopping.monitor",
        "model.output_activation",
    ]


def test_what_can_not_be_built_hides_nothing_that_needs_no_run():
    with pytest.raises(Refusal) as caught:
        preflight(
            configured("model.channels=[8,8,8,8,8,8]", "datamodule.batch_size=6000", "training.device=cuda:9"), TRAINER
        )
    assert {problem.key for problem in caught.value.problems} == {
        "model.channels",
        "datamodule.batch_size",
        "training.device",
    }


def test_the_check_reads_no_data_and_takes_no_memory(tmp_path):
    source = """
from firebox.data.fashion_mini import FashionMini
class Own(FashionMini):
    def read(self, split):
        raise AssertionError
"""
    (tmp_path / "own.py").write_text(source)
    path = tmp_path / "x.yaml"
    path.write_text(
        "datamodule: {name: 'own.py:Own', batch_size: 64}\nmodel: {name: cae_baseline, latent_dim: 100000}\n"
    )
    report = preflight(read(TRAINER.name, TRAINER.default, path, ["training.device=cpu"]), TRAINER)
    assert report.costs.weights > 1 << 30


def test_the_estimates_are_those_of_a_real_step(tmp_path):
    import torch

    from firebox.engine.checks.costs import saved_bytes
    from firebox.engine.training.factory import build

    configuration = configured(f"output.root={tmp_path}", trainer=CLASSIFIER)
    costs = preflight(configuration, CLASSIFIER).costs
    run = build(configuration)
    with saved_bytes(run) as saved:
        run.training(run.trainer, run.streams["train"].read(0))
    parameters = list(run.model.parameters())
    assert costs.parameters == sum(p.numel() for p in parameters)
    assert costs.gradients == sum(p.numel() * p.element_size() for p in parameters)
    assert costs.activations == pytest.approx(saved.total, rel=0.02)
    path = tmp_path / "state.pt"
    torch.save(run.state_dict(), path)
    assert costs.checkpoint == pytest.approx(path.stat().st_size, rel=0.05)


def test_less_precision_and_more_microbatches_take_less_memory():
    whole = preflight(configured(), TRAINER).costs.activations
    assert preflight(configured("training.precision=bfloat16"), TRAINER).costs.activations < 0.8 * whole
    assert preflight(configured("training.accumulation=4"), TRAINER).costs.activations < 0.3 * whole


def test_the_report_shows_guards_parameters_memory_and_disk():
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    for table in preflight(configured(), TRAINER).tables():
        console.print(table)
    text = console.export_text()
    for expected in (
        "head_and_loss",
        "passed",
        "parameters",
        "activations, batch of",
        "optimizer",
        "disk, checkpoints",
    ):
        assert expected in text


def test_bytes_are_shown_as_they_are_read_best():
    assert [size(n) for n in (3, 1024, 1536 << 10, 1 << 40, 1 << 50)] == [
        "3 B",
        "1.0 KiB",
        "1.5 MiB",
        "1.0 TiB",
        "1024.0 TiB",
    ]


def test_a_rehearsed_model_can_be_moved_converted_and_copied():
    import copy

    from firebox.data.declarations.specification import ImageSpecification

    rehearsal = Rehearsal(configured(), ImageSpecification((1, 28, 28), classes=("a", "b")), {"train": 64})
    with rehearsal._faking():
        model = copy.deepcopy(rehearsal.run.model).double().to("cpu")
        assert next(model.parameters()).requires_grad
        assert next(model.parameters()).dtype.itemsize == 8
    assert next(rehearsal.run.model.parameters()).dtype.itemsize == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([SCRIPT, "--help"], 0),
        (["-m", "firebox", "--help"], 0),
        (["-m", "firebox", "train", "--help"], 0),
        (["-m", "firebox", "schema"], 0),
        (["-m", "firebox", "schema", "--markdown"], 0),
        (["-m", "firebox", "config", "configs/cae/cae_baseline_fashion_mini.yaml"], 0),
        ([SCRIPT, "--check", "--set", "model.latnt_dim=3"], 2),
        ([SCRIPT, "--check", "--set", "model.name=nothing"], 2),
        ([SCRIPT, "--check", "--set", "training.epochs=many"], 2),
        ([SCRIPT, "absent.yaml"], 2),
    ],
)
def test_torch_is_not_imported_for(arguments, code):
    done = run_python("-X", "importtime", *arguments, folder=ROOT)
    assert done.returncode == code, done.stderr[-500:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "firebox.foundation.problems" in imported, "the import times are there"
    assert not imported & {"torch", "numpy", "ignite", "kornia", "torchvision"}


@pytest.mark.slow
def test_the_check_of_a_script_imports_neither_torchvision_nor_kornia_and_leaves_nothing(tmp_path):
    done = run_python("-X", "importtime", SCRIPT, "--check", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "torch" in imported
    assert not imported & {"torchvision", "kornia", "tensorboardX"}
    assert "activations, batch of" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_refused_script_ends_with_2_without_a_traceback_and_leaves_nothing(tmp_path):
    done = exactness.run_python(SCRIPT, "--set", "module.loss=bce", "--set", "datamodule.batch_size=6000", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "refused before training: 2 problems" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "size"), [("uint8", 1), ("uint16", 2), ("float32", 4)])
def test_the_estimate_of_the_data_counts_the_bytes_of_its_dtype(tmp_path, dtype, size):
    numpy.save(tmp_path / "x.npy", numpy.zeros((20, 16, 16, 3), dtype))
    arrays = f"datamodule={{name: arrays, root: {tmp_path}, images: x.npy, batch_size: 4}}"
    report = preflight(configured(arrays, f"output.root={tmp_path}"), TRAINER)
    assert report.costs.data == 20 * 16 * 16 * 3 * size
