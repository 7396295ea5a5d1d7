"""What the tests of handlers share: a short run, nine iterations an epoch, and ways to stop and resume it."""

import json
import signal
from pathlib import Path

import yaml
from ignite.engine import Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from firebox.engine.components.catalogue import default_handlers
from firebox.engine.configuration import read
from firebox.engine.launch import beginning, launch
from firebox.engine.launch.resuming import take_up
from firebox.engine.records.claiming import claim
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.trainers.train_cae_baseline import TRAINER

EPOCH_LENGTH = 9
CONTENT = {
    "trainer": "cae_baseline",
    "seed": 3,
    "datagenerator": {
        "name": "shapes",
        "image_size": [8, 8],
        "train_length": 90,
        "validation_length": 20,
        "test_length": 20,
        "batch_size": 10,
    },
    "model": {"name": "linear_autoencoder", "latent_dim": 4},
    "module": {"name": "reconstruction"},
    "optimizer": {"name": "adam", "lr": 0.002},
    "training": {"epochs": 2, "device": "cpu"},
}


def configured(folder, handlers, **sections):
    """Returns the configuration of a run below a folder, with the given handlers and no others.

    Args:
        folder: where everything goes.
        handlers: by name, their parameters.
        sections: of the configuration, merged into the usual ones; None: without the usual one.
    """
    content = json.loads(json.dumps(CONTENT))
    for name, values in sections.items():
        usual = content.pop(name, {})
        if values is not None:
            content[name] = {**usual, **values}
    content["output"] = {"root": str(folder / "runs"), "version": "run"}
    absent = [{name: False} for name in default_handlers() if name not in handlers]
    content["handlers"] = absent + [{name: parameters} for name, parameters in handlers.items()]
    path = folder / "configuration.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return read(TRAINER.name, TRAINER.default, path)


def begun(configuration):
    """Returns a run that is ready for its next iteration; one that has a directory is resumed there."""
    run = build(configuration, StopRequest())
    directory = RunDirectory(configuration.directory / configuration.output.version)
    if directory.path.exists():
        run = take_up(run, directory, lambda: beginning.assemble(configuration, StopRequest()))
    else:
        run.begin(claim(configuration))
    launch.start(run)
    return run


def ended(run):
    """Trains a run to its end, or to where it is stopped, and returns it."""
    try:
        launch.finish(run)
    finally:
        launch.close(run)
        run.directory.unlock()
    return run


def trained(configuration):
    """Trains a run from its start, or from where it was stopped, to its end."""
    return ended(begun(configuration))


def stopped(configuration, iteration):
    """Trains a run until a signal comes during an iteration."""
    run = begun(configuration)

    def stop():
        if run.iteration == iteration:
            run.stop.requested, run.stop.signal = True, signal.SIGTERM

    run.trainer.add_event_handler(Events.ITERATION_STARTED, stop)
    return ended(run)


def cut_off(configuration, iteration):
    """Trains a run until it dies during an iteration, with what the operating system has of its files."""
    run = begun(configuration)

    def die():
        if run.iteration == iteration:
            raise KeyboardInterrupt

    run.trainer.add_event_handler(Events.ITERATION_STARTED, die)
    try:
        launch.finish(run)
    except KeyboardInterrupt:
        run.background.close()
        run.directory.unlock()
        run.close_tensorboard()
        if "loss_log" in run.handlers:
            run.handlers["loss_log"]._file.close()
    return run


def rows_of(run):
    """Returns the rows of losses.jsonl."""
    return [json.loads(line) for line in run.directory.losses.read_text().splitlines()]


def tensorboard_of(folder: Path):
    """Returns what TensorBoard itself reads from a folder of event files."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0, "histograms": 0})
    events.Reload()
    return events
