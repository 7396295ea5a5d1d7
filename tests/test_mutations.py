"""Every mutated configuration is refused, or accepted and then trained with; nothing else ever happens to it."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from ignite.engine import Events

from firebox.engine.checks.report import preflight
from firebox.engine.commands.train import trainers
from firebox.engine.configuration import plain, read
from firebox.engine.configuration.nodes import parse_file
from firebox.engine.launch import launch
from firebox.engine.records.claiming import claim
from firebox.engine.training.factory import build
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.package import ROOT
from firebox.foundation.problems import Refusal
from tests.soaking import SOAK

TRAINERS = trainers()
SHIPPED = sorted([*ROOT.glob("configs/*/*_fashion_mini.yaml"), *ROOT.glob("configs/*/*_shapes.yaml")])
EXAMPLES = int(os.environ.get("FIREBOX_MUTATIONS", "1000" if SOAK else "25"))
OPERATIONS = ("delete", "rename", "retype", "swap", "range", "nest", "duplicate", "unicode", "huge", "circle", "extend")
VALUES = {
    "retype": (None, True, False, 0, 3, 1.5, "text", "", "1 epoch", [], {}, [1, 2], {"a": 1}, [[]], float("nan")),
    "range": (-(2**63), -1, 0, 1, 2, 3, 7, 0.0, -0.5, 0.5, 0.999, 1.0, 1.5, 1e-300, 1e300, "0 epochs", "7 iterations"),
    "huge": (2**31, 2**63 - 1, 2**64, 10**30, 1e308, float("inf"), "x" * 5000, [1] * 3000, "9" * 18 + " epochs"),
    "unicode": ("ünïcode", "日本", "\x00", "a\nb", "🔥", "..", "../..", "a/b", "~", "-", "{}", "a:b", "\u202e"),
    "extend": (
        {"datamodule": {"augmentations": ["random_horizontal_flip", {"random_affine": {"degrees": 10}}]}},
        {"datamodule": {"name": "fashion_mini", "pixel_range": "[-1,1]", "drop_last": True, "placement": "stream"}},
        {"datamodule": None, "datagenerator": {"name": "shapes", "train_length": 64, "batch_size": 8}},
        {"training": {"precision": "bfloat16", "accumulation": 3, "gradient_clip_norm": 1.0}},
        {"model": {"name": "linear_autoencoder"}, "module": {"name": "reconstruction", "loss": "bce"}},
        {"model": {"name": "linear_vae"}, "module": {"name": "variational", "loss": "gaussian"}},
        {"scheduler": {"name": "cosine", "warmup": "3 iterations"}, "optimizer": {"name": "sgd", "nesterov": True}},
        {"handlers": [{"ema": {"decay": 0.9}}, {"early_stopping": {"patience": 3}}, {"checkpoint": False}]},
    ),
}


def places(content, path=()):
    """Returns the paths of all values."""
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, child in children for place in [(*path, key), *places(child, (*path, key))]]


def parent(content, path):
    """Returns what holds the value at a path."""
    for step in path[:-1]:
        content = content[step]
    return content


def shipped(path):
    """Returns a shipped configuration that can stand in another folder."""
    content = parse_file(path).plain()
    return {**content, "extends": str((path.parent / content["extends"]).resolve())}


def resolved(path):
    """Returns a shipped configuration with every default written out."""
    trainer = TRAINERS[parse_file(path).plain()["trainer"]]
    return plain(read(trainer.name, trainer.default, path))


BASES = [make(path) for path in SHIPPED for make in (shipped, resolved)]


@st.composite
def mutated(draw):
    """Returns a trainer's name and the text of a configuration that something was done to, a few times."""
    content = copy.deepcopy(draw(st.sampled_from(BASES)))
    trainer = content["trainer"]
    repeat_line = False
    for operation in draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=2)):
        paths = places(content)
        path = draw(st.sampled_from(paths))
        holder, key = parent(content, path), path[-1]
        if operation == "delete":
            del holder[key]
        elif operation == "rename" and isinstance(holder, dict):
            name = draw(st.sampled_from([f"{key}x", str(key)[:-1], str(key).upper(), str(key)[::-1], "名", "on", "1"]))
            holder[name] = holder.pop(key)
        elif operation == "swap":
            other = draw(st.sampled_from(paths))
            if path[: len(other)] != other and other[: len(path)] != path:
                elsewhere = parent(content, other)
                holder[key], elsewhere[other[-1]] = elsewhere[other[-1]], holder[key]
        elif operation == "nest":
            holder[key] = draw(st.sampled_from([[holder[key]], {"name": holder[key]}, {str(key): holder[key]}]))
        elif operation == "duplicate":
            repeat_line = True
        elif operation == "circle":
            content["extends"] = draw(st.sampled_from(["mutated.yaml", "./mutated.yaml", "absent.yaml", "."]))
        elif operation == "extend":
            for section, value in draw(st.sampled_from(VALUES["extend"])).items():
                known = content.get(section)
                both = isinstance(known, dict) and isinstance(value, dict) and "name" not in value
                content[section] = {**known, **value} if both else copy.deepcopy(value)
        elif operation in VALUES:
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES[operation])))
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, default_flow_style=False)
    if repeat_line:
        lines = text.splitlines(keepends=True)
        line = draw(st.integers(0, max(len(lines) - 1, 0)))
        text = "".join([*lines[: line + 1], *lines[line : line + 1], *lines[line + 1 :]])
    return trainer, text


def trained_for_an_iteration(configuration):
    """Starts a run as the command line does, asks it to stop in its first iteration, and returns how far it came."""
    stop = StopRequest()
    run = build(configuration, stop)

    @run.trainer.on(Events.ITERATION_STARTED)
    def ask():
        stop.requested = True

    run.begin(claim(configuration))
    try:
        launch.start(run)
        launch.finish(run)
    finally:
        launch.close(run)
        run.directory.unlock()
    return run.iteration


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="FIREBOX_MUTATIONS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(mutated())
def test_a_mutated_configuration_is_refused_or_trains(tmp_path_factory, mutation):
    trainer, text = TRAINERS[mutation[0]], mutation[1]
    folder = tmp_path_factory.mktemp("mutated")
    path = Path("mutated.yaml")
    before = Path.cwd()
    os.chdir(folder)
    try:
        path.write_text(text, encoding="utf-8")
        try:
            configuration = read(trainer.name, trainer.default, path)
            preflight(configuration, trainer)
        except Refusal as refusal:
            event("refused")
            assert refusal.problems
            assert all("\n" not in str(problem) for problem in refusal.problems)
            assert sorted(folder.rglob("*")) == [folder / path], "a refused run leaves nothing behind"
            return
        event("accepted")
        assert trained_for_an_iteration(configuration) == 1
    finally:
        os.chdir(before)
