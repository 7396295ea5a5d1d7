"""Every optimizer of torch's catalogue, by its import path."""

import math
import textwrap

import pytest
import torch

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.records import checkpoints
from firebox.engine.training.updates.update import Update
from firebox.foundation.problems import Refusal
from firebox.handlers.terminate_on_nan import NonFiniteLoss
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import differing
from tests.handlers.runs import begun, configured, ended, rows_of, stopped, trained

NAMES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
)
REFUSED = {"Optimizer", "LBFGS", "SparseAdam"}
MATRICES = """
    import torch
    from firebox.modules.reconstruction import Reconstruction

    class Own(Reconstruction):
        def parameters(self):
            return {"main": [p for p in self.model.parameters() if p.dim() == 2]}

    def muon(parameters, *, lr: float = 0.02):
        return torch.optim.Muon(parameters, lr=lr)
"""
"""Muon takes matrices alone, and has defaults that are constants of torch's."""


def by_path(folder, name, handlers=None, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(textwrap.dedent(MATRICES))
    module = {"name": "own.py:Own"} if name == "Muon" else {}
    path_of = "own.py:muon" if name == "Muon" else f"torch.optim:{name}"
    handlers = {"loss_log": {}, "checkpoint": {"every": "5 iterations"}} if handlers is None else handlers
    configured(folder, handlers, module=module, optimizer=None)
    path = folder / "configuration.yaml"
    text = "".join(f", {key}: {value}" for key, value in settings.items())
    path.write_text(path.read_text() + f"optimizer: {{name: '{path_of}'{text}}}\n")
    return read(TRAINER.name, TRAINER.default, path)


def test_all_of_them_are_known():
    assert {"Adam", "AdamW", "SGD", "Adagrad", "RMSprop", "Adadelta", "Rprop", "NAdam", "Muon"} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_it_trains_as_torch_does_and_resumes_exactly(tmp_path, name):
    whole = trained(by_path(tmp_path / "whole", name))
    assert any(not torch.equal(value, other) for value, other in moved(whole))
    assert all(math.isfinite(row["loss"]) for row in rows_of(whole))
    configuration = by_path(tmp_path / "stopped", name)
    stopped(configuration, 7)
    states = [
        checkpoints.load(checkpoints.path_of(run.directory.checkpoints, 18)) for run in (whole, trained(configuration))
    ]
    assert differing(*states) == []


def moved(run):
    first = checkpoints.load(checkpoints.path_of(run.directory.checkpoints, checkpoint_of(run)[0]))
    return [(first["model"][name], value) for name, value in run.model.state_dict().items()]


def checkpoint_of(run):
    return checkpoints.iterations_in(run.directory.checkpoints)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LBFGS", "torch.optim:LBFGS needs a closure, .*expected an optimizer that steps without one, such as adam"),
        ("SparseAdam", "SparseAdam does not support dense gradients"),
        ("Optimizer", "optimizer"),
    ],
)
def test_what_cannot_train_is_refused_in_one_line(tmp_path, name, said):
    with pytest.raises(Refusal, match=said) as caught:
        preflight(by_path(tmp_path, name), TRAINER)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop", "Adagrad", "Rprop"])
def test_no_step_is_taken_after_a_loss_that_is_not_finite(tmp_path, name):
    handlers = {"terminate_on_nan": {"every": "4 iterations"}, "loss_log": {}, "checkpoint": {"every": "5 iterations"}}
    run = poisoned(by_path(tmp_path, name, handlers))
    with pytest.raises(NonFiniteLoss, match="iteration 7: loss nan; no checkpoint has what came of it"):
        ended(run)
    assert all(value.isfinite().all() for value in run.model.state_dict().values())
    assert checkpoint_of(run) == [5]


def test_the_weights_would_be_nan_if_the_step_was_not_withheld(tmp_path, monkeypatch):
    monkeypatch.setattr(Update, "_withhold", lambda *_: None)
    handlers = {"terminate_on_nan": {"every": "4 iterations"}, "loss_log": {}, "checkpoint": {"every": "5 iterations"}}
    run = poisoned(by_path(tmp_path, "Adam", handlers))
    with pytest.raises(NonFiniteLoss):
        ended(run)
    assert not all(value.isfinite().all() for value in run.model.state_dict().values())
    assert checkpoint_of(run) == [5]


def poisoned(configuration):
    run = begun(configuration)
    prepare = run.training._prepare

    def poison(raw):
        batch = prepare(raw)
        if run.iteration == 7:
            batch.images[0, 0, 0, 0] = math.nan
        return batch

    run.training._prepare = poison
    return run


def test_fused_by_path_reads_the_flag_on_the_device(tmp_path):
    run = begun(by_path(tmp_path, "Adam", fused="true"))
    optimizer = run.update.optimizers["main"]
    assert optimizer.found_inf is run.update.non_finite
    assert not optimizer._optimizer_step_pre_hooks
    run.finish_early("not trained")
    ended(run)
