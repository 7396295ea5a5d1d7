"""What an iteration costs, in counts: they are the same on any machine."""

import gc
import logging
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from ignite.engine import Engine, Events
from torch.utils._python_dispatch import TorchDispatchMode

from firebox.data.sources.batch import Batch
from firebox.engine.configuration import read
from firebox.engine.launch import launch
from firebox.engine.records.claiming import claim
from firebox.engine.training.factory import build
from firebox.engine.training.steps.quiet_engine import QuietEngine
from firebox.engine.training.updates.losses import LossRecord
from firebox.engine.training.updates.update import Update
from firebox.handlers import DEFAULTS
from firebox.modules.reconstruction import Reconstruction
from firebox.trainers.train_cae_baseline import TRAINER

ROOT = Path(__file__).parents[1]
EVERY = 10
SYNCS = ("aten._local_scalar_dense.default", "aten.item.default")


class Operations(TorchDispatchMode):
    """Counts the operations that torch is asked for."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))

    @property
    def syncs(self):
        return sum(name in SYNCS for name in self.names)


@contextmanager
def running(folder, handlers=None, **training):
    """A run of 45 iterations an epoch on the embedded data, ready for the first; its handlers are the default ones."""
    content = {
        "trainer": "cae_baseline",
        "seed": 5,
        "datamodule": {"name": "fashion_mini", "batch_size": 120},
        "model": {"name": "cae_baseline", "channels": [2], "latent_dim": 2},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "adam"},
        "training": {"epochs": 1, "device": "cpu", **training},
        "output": {"root": str(folder / "runs")},
        "handlers": handlers or [],
    }
    path = folder / "configuration.yaml"
    path.write_text(yaml.safe_dump(content))
    run = build(read(TRAINER.name, TRAINER.default, path))
    run.begin(claim(run.configuration))
    launch.start(run)
    try:
        yield run
    finally:
        launch.close(run)
        run.directory.unlock()


def counted(run, first, last):
    """Trains until ``last``; returns the operations after iteration ``first``, up to ``last``."""
    operations = Operations()

    def look():
        if run.iteration == first:
            operations.__enter__()
        elif run.iteration == last:
            operations.__exit__(None, None, None)
            run.trainer.terminate()

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, look)
    run.trainer.run(run.streams["train"])
    return operations


def test_nothing_is_read_from_the_device_between_the_logging_intervals(tmp_path):
    with running(tmp_path) as run:
        assert counted(run, EVERY, 2 * EVERY - 1).syncs == 0


def test_the_losses_of_an_interval_are_read_at_once(tmp_path):
    with running(tmp_path) as run:
        operations = counted(run, EVERY, 4 * EVERY)
    assert operations.syncs == 0
    assert operations.names.count("aten.stack.default") == 3


def test_a_value_read_at_each_iteration_is_counted(tmp_path):
    with running(tmp_path) as run:
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: engine.state.output["loss"].item())
        assert counted(run, EVERY, 2 * EVERY - 1).syncs == EVERY - 1


def test_an_iteration_asks_torch_for_no_more_than_a_bare_loop_does(tmp_path):
    with running(tmp_path) as run:
        model = run.model
        stream = run.streams["train"]
        operations = len(counted(run, EVERY, 2 * EVERY - 1).names) / (EVERY - 1)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for _ in range(2):
            with Operations() as bare:
                batch = stream._source.images[stream.indices(0)].float().div_(255)
                loss = torch.nn.functional.mse_loss(model(batch), batch)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
    # More: the labels' gather, the check for finite gradients, detached losses, the step that the check may undo. Less:
    # the profiler's marks, the gradient of the loss with respect to itself.
    assert operations <= len(bare.names)


def test_no_event_of_an_iteration_has_a_handler_but_its_end(tmp_path):
    with running(tmp_path) as run:
        attached = {event: len(handlers) for event, handlers in run.trainer._event_handlers.items() if handlers}
    for event in (Events.ITERATION_STARTED, Events.GET_BATCH_STARTED, Events.GET_BATCH_COMPLETED):
        assert event not in attached
    assert attached[Events.ITERATION_COMPLETED] == 1


def test_losses_that_nobody_reads_are_not_kept():
    record = LossRecord()
    for iteration in range(100):
        record.add(iteration, 0.1, {"loss": torch.tensor(1.0)}, torch.tensor(0.0))
    assert not record._pending


def test_losses_are_read_in_time_where_no_handler_asks_for_them():
    record, rows = LossRecord(), []
    record.subscribe(rows.extend)
    for iteration in range(2500):
        record.add(iteration, 0.1, {"loss": torch.tensor(1.0)}, torch.tensor(0.0))
    assert len(rows) == 2000


def test_what_is_held_does_not_grow_with_the_iterations(tmp_path):
    held = []

    def count():
        gc.collect()
        held.append(sum(type(thing) in (torch.Tensor, Batch) for thing in gc.get_objects()))

    with running(tmp_path) as run:
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED(every=EVERY), count)
        run.trainer.run(run.streams["train"])
    assert len(held) == 4
    assert len(set(held)) == 1


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--set", "traning.epochs=1"], 2)])
def test_an_answer_that_needs_no_torch_imports_none(arguments, code):
    script = (
        "import sys; sys.argv = ['train_cae_baseline.py', *sys.argv[1:]]\n"
        "from firebox import run_trainer; from firebox.trainers.train_cae_baseline import TRAINER\n"
        "try:\n    run_trainer(TRAINER)\nexcept SystemExit as end:\n    code = end.code or 0\n"
        "heavy = {'torch', 'torchvision', 'ignite', 'numpy', 'kornia'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr


def test_a_quiet_engine_does_what_ignites_does():
    heard = {Engine: [], QuietEngine: []}
    for kind, events in heard.items():
        engine = kind(lambda engine, batch: batch)
        for event in (Events.STARTED, Events.EPOCH_COMPLETED, Events.ITERATION_COMPLETED(every=2)):
            engine.add_event_handler(
                event, lambda engine, events=events: events.append((engine.last_event_name, engine.state.iteration))
            )
        engine.run([1, 2, 3], max_epochs=2)
        events.append(engine.last_event_name)
    assert heard[Engine] == heard[QuietEngine]


def python_calls(kind, iterations):
    """Returns how many Python functions an engine calls in so many iterations; its handlers are the dispatcher's."""
    engine = kind(lambda engine, batch: batch)
    engine.logger.setLevel(logging.CRITICAL)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: None)
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        engine.run(range(iterations), max_epochs=1)
    finally:
        sys.setprofile(None)
    return calls


def test_a_quiet_engine_calls_little_more_than_half_of_what_ignites_does():
    quiet, ignite = (python_calls(kind, 101) - python_calls(kind, 1) for kind in (QuietEngine, Engine))
    assert quiet <= 0.6 * ignite


@pytest.mark.parametrize("quiet", [QuietEngine, Engine])
def test_a_quiet_engine_ends_where_it_is_told_to(quiet):
    for end in (lambda engine: engine.terminate(), lambda engine: engine.terminate_epoch()):
        engine = quiet(lambda engine, batch: batch)
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), end)
        engine.run([1, 2, 3], max_epochs=2)
        assert engine.state.iteration in (2, 5)


def parameter_and_optimizer():
    parameter = torch.nn.Parameter(torch.ones(3))
    return parameter, torch.optim.Adam([parameter], lr=0.1, fused=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_step_is_taken_from_the_first_loss_on_that_is_not_finite(value):
    parameter, optimizer = parameter_and_optimizer()
    update = Update({"main": optimizer}, device=torch.device("cpu"))
    update(parameter.square().sum())
    before = parameter.detach().clone()
    assert not torch.equal(before, torch.ones(3))
    update(parameter.sum() * value)
    update(parameter.square().sum())
    assert torch.equal(parameter, before)


def test_the_backward_pass_is_outside_of_autocast(tmp_path):
    inside = []

    class Looking(Reconstruction):
        def training_step(self, batch, update):
            inside.append(torch.is_autocast_enabled("cpu"))
            self.model.decoder.stages[-1].register_full_backward_hook(
                lambda *_: inside.append(torch.is_autocast_enabled("cpu"))
            )
            return super().training_step(batch, update)

    with running(tmp_path, [{name: False} for name in DEFAULTS], precision="bfloat16") as run:
        run.training._module = Looking(run.model, run.data.specification)
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, run.trainer.terminate)
        run.trainer.run(run.streams["train"])
    assert inside == [True, False]
