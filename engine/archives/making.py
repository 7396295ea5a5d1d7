"""Turns a run into an archive, which is built beside its final place, verified, renamed and made read-only."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from firebox.data.bases.datamodule import Split
from firebox.engine.archives.card import card
from firebox.engine.archives.loading import evaluation_only, loaded
from firebox.engine.archives.measurement import evaluation_split, measure
from firebox.engine.archives.module_state import load_module_state, save_module_state
from firebox.engine.archives.placing import claimed, make_read_only
from firebox.engine.configuration import Configuration, plain
from firebox.engine.configuration.core_schema import write
from firebox.engine.records import checkpoints
from firebox.engine.records.checkpoints import DamagedCheckpoint, Manifest
from firebox.engine.records.data_record import known_at
from firebox.engine.records.kept_code import moved, read_with_kept_code
from firebox.engine.records.monitor import monitor_of, ranked
from firebox.engine.records.own_code import CODE
from firebox.engine.records.run_directory import RunDirectory, is_run
from firebox.engine.records.sealing import CARD, sealed
from firebox.engine.records.storable import snapshot
from firebox.engine.records.verification import CONFIGURATION, EXPERIMENTS, METRICS, SUMMARY, WEIGHTS, verified
from firebox.engine.training.bases.ownership import StateMismatch
from firebox.engine.training.bases.showing import draw
from firebox.engine.training.construction import blamed
from firebox.engine.training.factory import build
from firebox.engine.training.run import Run
from firebox.foundation.files import digest, sync_folder, write_whole
from firebox.foundation.pictures import encode
from firebox.foundation.problems import Problem, Refusal
from firebox.foundation.randomness import mix, seed_everything

logger = logging.getLogger("firebox")

SAMPLES = 16
_ITERATION = re.compile(r"iteration_(\d+)")


def archive_run(path: Path, wanted: str = "best") -> Path:
    """Archives a run.

    Args:
        path: the run's directory.
        wanted: checkpoint to archive: ``best`` by the run's own checkpoint handler, ``last``, or an iteration.

    Returns:
        The archive's folder.

    Raises:
        Refusal: the path is not a run, the run is being trained, there is no such checkpoint, or the archive can't be
            made. Nothing is left behind.
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
    configuration, code, unpacked = read_with_kept_code(directory)
    checkpoint, manifest, state = _choose(directory, configuration, wanted)
    weights, kind = _evaluated_weights(configuration, state, checkpoint)
    run = replace(build(evaluation_only(configuration)), configuration=configuration)
    _refuse_other_data(directory, run, manifest)
    run.model.load_state_dict(weights)
    load_module_state(run.module, state)
    splits: tuple[Split, ...] = ("validation", "test")
    metrics: dict[str, dict[str, Any]] = {split: measure(run, split) for split in splits if split in run.streams}
    parent = _parent(directory, configuration)
    with claimed(parent) as (temporary, name):
        # The tensors are copied, because safetensors accepts only contiguous tensors that share no memory.
        save_file({key: value.contiguous().clone() for key, value in weights.items()}, temporary / WEIGHTS)
        save_module_state(temporary, state)
        if code.parts:
            code.write(temporary / CODE)
        # In the archive's own configuration, parts lie in its folder, and relative paths start there.
        values = plain(moved(configuration, unpacked, temporary), temporary)
        _write(temporary, run, directory, manifest, metrics, values)
        named = partial(card, run, directory, name=f"{parent.name}/{name}")
        content = named(manifest=manifest, wanted=wanted, metrics=metrics, values=values)
        content |= _files(temporary, run, kind)
        _write_json(temporary / CARD, sealed(_finite(content)))
        loaded(temporary, verified(temporary), trust_code=True)
        make_read_only(temporary)
        final = parent / name
        temporary.rename(final)
        sync_folder(parent)
    logger.info("archived iteration %d, epoch %d, with its %s weights", manifest.iteration, manifest.epoch, kind)
    for check in content["validated_by"]:
        if not check["pass"]:
            logger.warning(
                "not validated: %s: got %s, threshold %s", check["check"], check["value"], check["threshold"]
            )
    return final


def _choose(
    directory: RunDirectory, configuration: Configuration, wanted: str
) -> tuple[Path, Manifest, dict[str, Any]]:
    """Returns the checkpoint to archive, its manifest and its state.

    If the best or the last one is wanted, damaged checkpoints are passed over with a warning.
    """
    folder = directory.checkpoints
    existing = checkpoints.iterations_in(folder)
    if wanted not in ("best", "last") and not (wanted.isascii() and wanted.isdigit()):
        raise _refusal(f"--checkpoint {wanted}: expected best, last or an iteration")
    if wanted in ("best", "last"):
        iterations = _best(directory, configuration) if wanted == "best" else list(reversed(existing))
    elif int(wanted) in existing:
        iterations = [int(wanted)]
    else:
        known = ", ".join(map(str, existing))
        raise _refusal(f"--checkpoint {wanted}: {directory.path} has no such checkpoint; expected one of: {known}")
    damage = ""
    for iteration in iterations:
        path = checkpoints.path_of(folder, iteration)
        try:
            return path, checkpoints.read_manifest(path), checkpoints.load(path)
        except DamagedCheckpoint as error:
            damage = f"damaged checkpoint: {error}"
            if wanted in ("best", "last"):
                logger.warning("%s; the next %s one is taken", damage, wanted)
    if wanted in ("best", "last"):
        damage = f"{directory.path}: has no valid checkpoint" + (f": {damage}" if damage else "")
    raise _refusal(damage)


def _best(directory: RunDirectory, configuration: Configuration) -> list[int]:
    """Returns the iterations of the checkpoints for which the monitored metric was measured, the best first."""
    way_out = "choose one: --checkpoint last, or an iteration"
    monitor = monitor_of(configuration)
    if monitor is None:
        raise _refusal(f"--checkpoint best: the run has no handler that says which is best; {way_out}")
    manifests = checkpoints.valid_manifests(directory.checkpoints)
    best = [manifest.iteration for manifest in ranked(manifests, monitor)]
    if manifests and not best:
        raise _refusal(
            f"--checkpoint best: {monitor.metric} was measured at no checkpoint of {directory.path}; {way_out}"
        )
    return best


def _evaluated_weights(
    configuration: Configuration, state: dict[str, Any], checkpoint: Path
) -> tuple[dict[str, torch.Tensor], str]:
    """Returns the state dict of the model that was evaluated, on the CPU, and its kind: ``raw`` or ``ema``.

    The run is assembled with the handlers that have a state, because one of them may hold averaged weights.
    """
    remembering = tuple(named for named in configuration.handlers if state["handlers"].get(named.component.short_name))
    run = build(replace(evaluation_only(configuration), handlers=remembering))
    try:
        run.load_state_dict(state)
    except StateMismatch as error:
        raise _refusal(f"{checkpoint}: doesn't fit the run's configuration: {error}") from None
    weights = {name: snapshot(value) for name, value in run.evaluated_model.state_dict().items()}
    other = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise _refusal(f"{checkpoint}: the model's state holds more than tensors: {', '.join(other)}")
    return weights, "raw" if run.averaged_model is None else "ema"


def _refuse_other_data(directory: RunDirectory, run: Run, manifest: Manifest) -> None:
    """Refuses to archive a model beside measurements on other data than it was trained on."""
    kind = run.configuration.data.kind
    with blamed(run.configuration.data.named, kind):
        now = run.identity.fingerprint
    known = known_at(directory, manifest)
    changes = None if known is None else known.changes_to(now)
    if changes is not None:
        raise Refusal([Problem(kind, f"{changes}; put it back", run.configuration.mark(kind, "name"))])


def _parent(directory: RunDirectory, configuration: Configuration) -> Path:
    """Returns the datamodule's folder: the one that holds the run or, if the run was moved, its output folder."""
    name = configuration.data.named.component.short_name
    # The path is resolved, because the parent of "." is ".", and that of a link is not the run's folder.
    around = directory.path.resolve().parent.parent
    return around if around.name == name else configuration.output_root / name


def _write(
    folder: Path,
    run: Run,
    directory: RunDirectory,
    manifest: Manifest,
    metrics: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Any],
) -> None:
    text = f"# The resolved configuration of {directory.path}\n{write(values)}"
    (folder / CONFIGURATION).write_text(text, encoding="utf-8")
    if directory.model_summary.is_file():
        shutil.copyfile(directory.model_summary, folder / SUMMARY)
    else:
        (folder / SUMMARY).write_text(f"{run.model}\n", encoding="utf-8")
    _write_json(folder / METRICS, metrics)
    for image in sorted(directory.images.rglob("*.png")):
        relative = image.relative_to(directory.path)
        at = _ITERATION.search(str(relative))
        if at is None or int(at[1]) <= manifest.iteration:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, folder / relative)
    batch = run.preparation(run.streams[evaluation_split(run)].examples(SAMPLES))
    seed_everything(mix(run.configuration.seed, "archive"))
    with torch.inference_mode():
        for name, rows in run.module.images(batch).items():
            write_whole(folder / "samples" / f"{name}.png", encode(draw(rows, run.data.specification.classes)))
    (folder / EXPERIMENTS).mkdir()


def _files(folder: Path, run: Run, kind: str) -> dict[str, Any]:
    """Returns the parts of the card that list the archive's files."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    weights = {
        "file": WEIGHTS,
        **files[WEIGHTS],
        "format": "safetensors",
        "n_params": sum(parameter.numel() for parameter in run.model.parameters()),
        "kind": kind,
    }
    samples = [{"file": name, **entry} for name, entry in files.items() if name.startswith("samples/")]
    return {"version": weights["sha256"], "weights": weights, "samples": samples, "files": files}


def _finite(value: Any) -> Any:
    """Returns plain data that any JSON reader accepts: NaN and infinities become null, tuples become lists."""
    if isinstance(value, Mapping):
        return {key: _finite(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(content, indent=1)
    except TypeError as error:
        raise _refusal(f"{path.name} can't hold all that the run remembers: {error}") from None
    path.write_text(text + "\n", encoding="utf-8")


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
