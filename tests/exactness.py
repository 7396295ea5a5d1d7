"""What the tests of exactness share: a run with everything on, and what two runs must have in common."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from ignite.engine import Events

from firebox.engine.commands import command_line
from firebox.engine.records import checkpoints
from firebox.engine.training import factory
from firebox.trainers.train_cae_baseline import TRAINER

SCRIPT = Path(__file__).parent.parent / "trainers" / "train_cae_baseline.py"
FORK = multiprocessing.get_context("fork")
LONGEST = 240
"""Seconds that a run of a second or two may take on a machine that is busy with other things."""

CONFIGURATION = {
    "trainer": "cae_baseline",
    "seed": 11,
    "datamodule": {
        "name": "fashion_mini",
        "batch_size": 300,
        "evaluation_batch_size": 100,
        "validation_fraction": 0.05,
        "augmentations": [{"random_horizontal_flip": {"p": 0.5}}, {"random_affine": {"degrees": 10.0, "p": 0.5}}],
    },
    "model": {"name": "cae_baseline", "channels": [4, 8], "latent_dim": 8, "dropout": 0.2},
    "module": {"name": "reconstruction", "loss": "mse"},
    "optimizer": {"name": "adamw", "lr": 0.002},
    "scheduler": {"name": "one_cycle", "max_lr": 0.004},
    "training": {"epochs": 3, "gradient_clip_norm": 1.0},
    "handlers": [
        {"checkpoint": {"every": "7 iterations", "keep_last": 2, "keep_best": 1}},
        {"evaluation": {"every": "1 epoch", "test": True}},
        {"image_dump": {"every": "1 epoch", "count": 4}},
        {"loss_log": {"every": "5 iterations"}},
        {"ema": {"decay": 0.9}},
        {"early_stopping": {"patience": 50}},
    ],
}
EPOCH_LENGTH = 19
ITERATIONS = 57


def write_configuration(folder: Path, changes: dict | None = None, handlers: list | None = None) -> Path:
    """Writes the configuration of a run whose outputs go below ``folder``."""
    content = json.loads(json.dumps(CONFIGURATION))
    content["output"] = {"root": str(folder / "runs")}
    for section, values in (changes or {}).items():
        content[section] = {**content[section], **values} if isinstance(values, dict) else values
    content["handlers"] += handlers or []
    path = folder / "config.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def only_run(folder: Path) -> Path:
    """Returns the directory of the one run below ``folder``."""
    (run,) = (path.parent for path in (folder / "runs").glob("*/*/*/config.yaml"))
    return run


def differences(reference: Path, other: Path) -> list[str]:
    """Returns everything in which two run directories differ that must be the same, bit for bit."""
    names = ("losses.jsonl", "status.json", "config.yaml")
    found = [name for name in names if _comparable(reference / name) != _comparable(other / name)]
    pictures, others = _pictures(reference), _pictures(other)
    found += [name for name in pictures.keys() | others.keys() if pictures.get(name) != others.get(name)]
    final = checkpoints.iterations_in(reference / "checkpoints")
    resumed = checkpoints.iterations_in(other / "checkpoints")
    if not set(final) <= set(resumed):
        found.append(f"checkpoints: {final} and {resumed}")
        return found
    for iteration in final:
        states = [checkpoints.load(checkpoints.path_of(run / "checkpoints", iteration)) for run in (reference, other)]
        found += [f"checkpoint {iteration}: {key}" for key in differing(*states)]
        manifests = [
            checkpoints.verify(checkpoints.path_of(run / "checkpoints", iteration)) for run in (reference, other)
        ]
        if manifests[0].metrics != manifests[1].metrics:
            found.append(f"checkpoint {iteration}: metrics")
    return found


def differing(left: object, right: object, key: str = "") -> list[str]:
    """Returns the paths at which two states differ in any bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        same = left.dtype == right.dtype and left.shape == right.shape and torch.equal(left, right)
        return [] if same else [key]
    if isinstance(left, dict) and isinstance(right, dict):
        keys = dict.fromkeys([*left, *right])
        return [path for name in keys for path in differing(left.get(name), right.get(name), f"{key}/{name}")]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        return [path for i, pair in enumerate(zip(left, right, strict=True)) for path in differing(*pair, f"{key}/{i}")]
    return [] if type(left) is type(right) and left == right else [key]


def _comparable(path: Path) -> object:
    text = path.read_text()
    if path.name == "status.json":
        return {key: value for key, value in json.loads(text).items() if key != "updated"}
    if path.name == "config.yaml":
        content = yaml.safe_load(text)
        # How samples are read is not part of what a run computes.
        reading = {"workers": None, "placement": None, "cache": None}
        kind = "datamodule" if content.get("datamodule") else "datagenerator"
        return {**content, "output": None, kind: {**content[kind], **reading}}
    return text


def _pictures(run: Path) -> dict[str, bytes]:
    files = [run / "losses.png", *(run / "images").rglob("*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in files if path.is_file()}


def run_script(*arguments):
    """Starts the real script in a process of its own."""
    log = Path(arguments[0]).parent / "output.txt"
    with log.open("a") as output:
        return subprocess.Popen([sys.executable, str(SCRIPT), *arguments], stdout=output, stderr=output)


class Forked:
    """The same in a fork of this process, which saves the seconds of importing; ``prepare`` may change it first."""

    def __init__(self, *arguments, prepare=None, trainer=TRAINER):
        self._process = FORK.Process(target=self._train, args=(arguments, prepare, trainer))
        self._process.start()
        self.pid = self._process.pid

    @staticmethod
    def _train(arguments, prepare, trainer):
        sys.stdout = sys.stderr = (Path(arguments[0]).parent / "output.txt").open("a", buffering=1)
        if prepare is not None:
            prepare()
        os._exit(command_line.train_script(trainer, arguments))

    def wait(self):
        self._process.join(LONGEST)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"a run did not end within {LONGEST} seconds")
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()


def with_handler(event, action):
    """Prepares a fork: ``action(run)`` on an event of its trainer engine, after all handlers."""

    def prepare():
        attach = factory.attach_handlers

        def attach_and_more(run):
            attach(run)
            run.trainer.add_event_handler(event, lambda: action(run))

        factory.attach_handlers = attach_and_more

    return prepare


def kill_at(iteration, event=Events.ITERATION_COMPLETED):
    """Prepares a fork to be killed, by itself and without warning, at an iteration."""

    def kill(run):
        if run.iteration == iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    return with_handler(event, kill)


def resumed_to_the_end(configuration, prepare=None):
    assert Forked(str(configuration), "--resume", prepare=prepare).wait() == 0, output(configuration)
    return only_run(configuration.parent)


def output(configuration):
    return (configuration.parent / "output.txt").read_text()
