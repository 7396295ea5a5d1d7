"""Turns a run into an archive: built beside its place, verified by loading it, then renamed and made read-only."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from data.datamodule import Split
from engine import checkpoints
from engine.archive import (
    CARD,
    CONFIGURATION,
    EXPERIMENTS,
    METRICS,
    SUMMARY,
    WEIGHTS,
    assembled,
    digest,
    load_archive,
    number_of,
    on_this_machine,
)
from engine.archive_card import card, monitor_of
from engine.checkpoints import DamagedCheckpoint, Manifest
from engine.configuration import Configuration, read_recorded
from engine.measurement import evaluation_split, measure
from engine.picture import grid, write_png
from engine.problems import Problem, Refusal
from engine.randomness import mix, seed_everything
from engine.run import Run
from engine.run_directory import RunDirectory, is_run

logger = logging.getLogger("firebox")

SAMPLES = 16
_WRITING = re.compile(r"\.archived_v.+\.writing")
_ITERATION = re.compile(r"iteration_(\d+)")


def archive_run(path: Path, wanted: str = "best") -> Path:
    """Archives a run.

    Args:
        path: the run's directory.
        wanted: the checkpoint: ``best`` by the run's own checkpoint handler, ``last``, or an iteration.

    Returns:
        The archive's folder.

    Raises:
        Refusal: it is no run, or one that is being trained; there is no such checkpoint; or the archive can't be made.
            Nothing is left behind.
    """
    if not is_run(path):
        raise _refusal(f"{path}: not a run's directory; expected one with config.yaml and status.json")
    directory = RunDirectory(path)
    try:
        directory.lock()
        try:
            return _archive(directory, wanted)
        finally:
            directory.unlock()
    except OSError as error:
        raise _refusal(f"can't archive {path}: {error}") from error


def _archive(directory: RunDirectory, wanted: str) -> Path:
    configuration = on_this_machine(read_recorded(directory.configuration))
    checkpoint = _choose(directory, configuration, wanted)
    try:
        manifest, state = checkpoints.read_manifest(checkpoint), checkpoints.load(checkpoint)
    except DamagedCheckpoint as error:
        raise _refusal(f"damaged checkpoint: {error}") from None
    run = _restored(configuration, state, checkpoint)
    splits: tuple[Split, ...] = ("validation", "test")
    metrics = {split: measure(run, split) for split in splits if split in run.streams}
    parent = _parent(directory, configuration)
    with _claimed(parent) as (temporary, name):
        _write(temporary, run, directory, manifest, metrics)
        content = card(
            run, directory, name=f"{parent.name}/{name}", manifest=manifest, wanted=wanted, metrics=metrics
        )
        content |= _files(temporary, run)
        _write_json(temporary / CARD, content)
        load_archive(temporary)
        _make_read_only(temporary)
        final = parent / name
        temporary.rename(final)
        checkpoints.sync_folder(parent)
    for check in content["validated_by"]:
        if not check["pass"]:
            logger.warning("%s: not so: %s, threshold %s", check["check"], check["value"], check["threshold"])
    return final


def _choose(directory: RunDirectory, configuration: Configuration, wanted: str) -> Path:
    """Returns the checkpoint that is to be archived."""
    folder = directory.checkpoints
    newest, damaged = checkpoints.newest_valid(folder)
    for text in damaged:
        logger.warning("damaged checkpoint: %s", text)
    if newest is None:
        raise _refusal(f"{directory.path}: has no valid checkpoint")
    if wanted == "last":
        return newest
    if wanted == "best":
        return checkpoints.path_of(folder, _best(directory, configuration))
    if not wanted.isascii() or not wanted.isdigit():
        raise _refusal(f"--checkpoint {wanted}: expected best, last or an iteration")
    if int(wanted) not in checkpoints.iterations_in(folder):
        known = ", ".join(map(str, checkpoints.iterations_in(folder)))
        raise _refusal(f"--checkpoint {wanted}: {directory.path} has no such checkpoint; expected one of: {known}")
    return checkpoints.path_of(folder, int(wanted))


def _best(directory: RunDirectory, configuration: Configuration) -> int:
    """Returns the iteration of the best checkpoint; of equal ones the earliest."""
    way_out = "choose one: --checkpoint last, or an iteration"
    monitor = monitor_of(configuration)
    if monitor is None:
        raise _refusal(f"--checkpoint best: the run has no handler that says which is best; {way_out}")
    metric, mode = monitor
    measured = {
        manifest.iteration: manifest.metrics[metric]
        for manifest in checkpoints.valid_manifests(directory.checkpoints)
        if math.isfinite(manifest.metrics.get(metric, math.nan))
    }
    if not measured:
        raise _refusal(f"--checkpoint best: {metric} was measured at no checkpoint of {directory.path}; {way_out}")
    return (min if mode == "min" else max)(measured, key=lambda iteration: measured[iteration])


def _restored(configuration: Configuration, state: dict[str, Any], checkpoint: Path) -> Run:
    """Assembles the run with the handlers that remember something: one of them may hold the averaged weights."""
    remembering = tuple(named for named in configuration.handlers if state["handlers"].get(named.component.short_name))
    run = assembled(replace(configuration, handlers=remembering, scheduler=None))
    try:
        run.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        message = " ".join(str(error).split())
        raise _refusal(f"{checkpoint}: doesn't fit the run's configuration: {message}") from None
    run.configuration = configuration
    return run


def _parent(directory: RunDirectory, configuration: Configuration) -> Path:
    """Returns the datamodule's folder: the one the run is in or, for a run that was moved, where its output went."""
    name = configuration.data.named.component.short_name
    around = directory.path.absolute().parent.parent
    return directory.path.parent.parent if around.name == name else Path(configuration.output.root) / name


@contextmanager
def _claimed(parent: Path) -> Iterator[tuple[Path, str]]:
    """Gives a hidden folder to build the archive in, and the archive's name. What is left of the folder is removed.

    One process at a time archives below a datamodule; the lock ends with the process, however it ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(parent, os.O_RDONLY)
    temporary = None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        entries = list(parent.iterdir())
        for entry in entries:
            if _WRITING.fullmatch(entry.name):
                _remove(entry)
        number = max(map(number_of, entries), default=0) + 1
        name = f"archived_v{number}_{time.strftime('%Y-%m-%d')}"
        temporary = parent / f".{name}.writing"
        temporary.mkdir()
        yield temporary, name
    finally:
        if temporary is not None and temporary.exists():
            _remove(temporary)
        os.close(descriptor)


def _write(
    folder: Path, run: Run, directory: RunDirectory, manifest: Manifest, metrics: Mapping[str, Mapping[str, Any]]
) -> None:
    state = run.evaluated_model.state_dict()
    other = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise _refusal(f"the model's state holds more than tensors: {', '.join(other)}")
    # Copies: safetensors takes no tensors that share memory or are laid out otherwise.
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, folder / WEIGHTS)
    shutil.copyfile(directory.configuration, folder / CONFIGURATION)
    if directory.model_summary.is_file():
        shutil.copyfile(directory.model_summary, folder / SUMMARY)
    else:
        (folder / SUMMARY).write_text(f"{run.evaluated_model}\n", encoding="utf-8")
    _write_json(folder / METRICS, metrics)
    for image in sorted(directory.images.rglob("*.png")):
        relative = image.relative_to(directory.path)
        at = _ITERATION.search(str(relative))
        if at is None or int(at[1]) <= manifest.iteration:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, folder / relative)
    batch = run.preparation(run.streams[evaluation_split(run)].first(SAMPLES))
    seed_everything(mix(run.configuration.seed, "archive"))
    with run.evaluating(), torch.inference_mode():
        for name, rows in run.module.images(batch).items():
            write_png(folder / "samples" / f"{name}.png", grid(rows))
    (folder / EXPERIMENTS).mkdir()


def _files(folder: Path, run: Run) -> dict[str, Any]:
    """The parts of the card that list what the archive holds."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    weights = {
        "file": WEIGHTS,
        **files[WEIGHTS],
        "format": "safetensors",
        "n_params": sum(parameter.numel() for parameter in run.evaluated_model.parameters()),
        "kind": "raw" if run.averaged_model is None else "ema",
    }
    samples = [{"file": name, **entry} for name, entry in files.items() if name.startswith("samples/")]
    return {"version": weights["sha256"], "weights": weights, "samples": samples, "files": files}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(content, indent=1)
    except TypeError as error:
        raise _refusal(f"{path.name} can't hold all that the run remembers: {error}") from None
    path.write_text(text + "\n", encoding="utf-8")


def _make_read_only(folder: Path) -> None:
    """Flushes everything to disk and takes the right to write from all but the folder of the experiments."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            checkpoints.sync_folder(path)
            path.chmod(0o755 if path == folder / EXPERIMENTS else 0o555)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    checkpoints.sync_folder(folder)
    folder.chmod(0o555)


def _remove(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
