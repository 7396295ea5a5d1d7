"""What the tests of exactness share: a run with everything on, and what two runs must have in common."""

import functools
import importlib
import json
import logging
import multiprocessing
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

import torch
import yaml
from ignite.engine import Events

import firebox
from firebox.engine.checks.report import preflight
from firebox.engine.commands import command_line
from firebox.engine.components import loading, signatures, source
from firebox.engine.configuration import read
from firebox.engine.records import checkpoints
from firebox.engine.training import factory
from firebox.foundation import own_modules
from firebox.trainers.train_cae_baseline import TRAINER

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "trainers" / "train_cae_baseline.py"
FORK = multiprocessing.get_context("fork")
LONGEST = 240
"""Seconds that a run of a second or two may take on a machine that is busy with other things."""

CONFIGURATION = {
    "trainer": "cae_baseline",
    "seed": 11,
    "datamodule": {
        "name": "fashion_mini",
        "limit": 570,
        "batch_size": 30,
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


class Fork:
    """A process, to be used as one of ``subprocess``, that is forked from this one: that saves seconds of importing."""

    def __init__(self, target, *arguments):
        get_ready()
        self._process = FORK.Process(target=target, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    def wait(self, seconds=LONGEST):
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"a run did not end within {seconds} seconds")
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def kill(self):
        self._process.kill()

    def send_signal(self, number):
        os.kill(self.pid, number)


@functools.cache
def get_ready():
    """Imports whatever a command may import, and computes what torch keeps, once for all forks of this process."""
    for module in pkgutil.walk_packages(firebox.__path__, "firebox."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("kornia.augmentation", "matplotlib.backends.backend_agg", "tensorboardX"):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        rehearse(write_configuration(Path(folder)))


def rehearse(configuration, trainer=TRAINER):
    """Checks a configuration that is known to be good here, so that forks check it and those like it sooner.

    The fake tensors are what a check costs, and torch keeps what it learned of them, shape by shape.
    """
    preflight(read(trainer.name, trainer.default, configuration, []), trainer)


class Forked(Fork):
    """A training, as by the trainer's script; ``prepare`` may change the process before."""

    def __init__(self, *arguments, prepare=None, trainer=TRAINER):
        super().__init__(self._train, arguments, prepare, trainer)

    @staticmethod
    def _train(arguments, prepare, trainer):
        sys.stdout = sys.stderr = (Path(arguments[0]).parent / "output.txt").open("a", buffering=1)
        leave_fork_server()
        if prepare is not None:
            prepare()
        os._exit(command_line.train_script(trainer, arguments))


def leave_fork_server():
    """Has a fork start a fork server of its own: that of the process of the tests serves no other."""
    forkserver._forkserver._forkserver_pid = None


def start_python(*arguments, output, errors=None, cwd=None, env=None, new_session=False):
    """Has a fork do what the command line ``python ARGUMENTS`` does, where they are a script's or begin with ``-m``.

    Args:
        arguments: of the command line.
        output: an open file for what is printed.
        errors: another one for standard error; None: the same.
        cwd: folder to run in; None: this process's.
        env: environment; None: this process's. What a process reads as it starts, such as PYTHONPATH, has no effect.
        new_session: whether the process leads a session and a process group of its own.
    """
    descriptors = output.fileno(), (errors or output).fileno()
    return Fork(_as_python, [str(argument) for argument in arguments], descriptors, cwd, env, new_session)


def _as_python(arguments, descriptors, cwd, env, new_session):
    for descriptor, standard in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, standard)
    sys.stdout, sys.stderr = (os.fdopen(standard, "w", buffering=1, closefd=False) for standard in (1, 2))
    if cwd is not None:
        os.chdir(cwd)
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
    if new_session:
        os.setsid()
        # A hang-up may be ignored where the tests are run, as under nohup.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for logger in (logging.getLogger(), logging.getLogger("firebox")):
        logger.handlers.clear()
    leave_fork_server()
    forget()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as Python does
        if arguments[1] != "firebox":
            sys.modules.pop(arguments[1], None)  # it is run, and would be warned of otherwise
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).absolute().parent))
        runpy.run_path(arguments[0], run_name="__main__")


def run_python(*arguments, cwd=None, env=None):
    """As ``subprocess.run`` with what is printed captured as text, by ``start_python``."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        code = start_python(*arguments, output=output, errors=errors, cwd=cwd, env=env).wait()
        texts = [(file.seek(0), file.read())[1] for file in (output, errors)]
    return subprocess.CompletedProcess(arguments, code, *texts)


def forget():
    """Has a user's files imported anew, as a new process does."""
    installed = (sys.prefix, sys.base_prefix, str(ROOT))
    for name, module in [*sys.modules.items()]:
        content = getattr(module, "__dict__", {})
        places = [str(place) for place in (content.get("__file__"), *(content.get("__path__") or ()))]
        if any(place.startswith("/") and not place.startswith(installed) for place in places):
            del sys.modules[name]
    own_modules._PLACES.clear()
    loading._NAMES.clear()
    source._parsed.cache_clear()
    signatures.read_signature.cache_clear()


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
