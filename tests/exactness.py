"""What the tests of exactness share: a run with everything on, and what two runs must have in common."""

import json
from pathlib import Path

import torch
import yaml

from engine import checkpoints

CONFIGURATION = {
    "trainer": "cae_baseline",
    "seed": 11,
    "datamodule": {
        "name": "fashion_mini",
        "batch_size": 300,
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
    found += [f"images/{name}" for name in pictures.keys() | others.keys() if pictures.get(name) != others.get(name)]
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
        reading = {"workers": None, "placement": None}
        return {**content, "output": None, "datamodule": {**content["datamodule"], **reading}}
    return text


def _pictures(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run / "images")): path.read_bytes()
        for path in (run / "images").rglob("*")
        if path.is_file()
    }
