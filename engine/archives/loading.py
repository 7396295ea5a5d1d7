"""Loads an archived model once it is verified against its card. Code in the archive runs only with consent."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.engine.archives.archive import Archive
from firebox.engine.archives.finding import find_archive
from firebox.engine.archives.trust import code_files, trusted, untrusted
from firebox.engine.components.catalogue import default_handlers
from firebox.engine.configuration import Configuration, read
from firebox.engine.records.sealing import CARD
from firebox.engine.records.verification import CONFIGURATION, WEIGHTS, verified
from firebox.foundation.problems import Problem, Refusal, in_one_line, shown

if TYPE_CHECKING:
    from firebox.data.bases.datamodule import DataModule
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

TOLERANCE = 1e-3
"""Relative tolerance of the self-check. Devices and numbers of threads differ by less, other data by more."""


def load_archive(path_or_name: str | Path, root: str | Path = "runs", *, trust_code: bool = False) -> Archive:
    """Loads an archive.

    Args:
        path_or_name: the archive's folder, or its name below ``root``, such as ``fashion_mini/archived_v1_2026-11-24``.
        root: the folder that all runs are below.
        trust_code: whether to run the user's own code that the archive holds; a message says which code runs. No other
            file takes its place, wherever it lies.

    Raises:
        Refusal: there is no such archive; a file is missing, was changed, is a link or was not archived; the card's
            schema is unknown, or its seal is broken; the archive's components are not Firebox's and are not trusted;
            the archived configuration gives another signature; the weights don't fit the model; or the recomputed
            metric differs from the one on the card.
    """
    path, card = _consented(path_or_name, root, trust_code=trust_code)
    return loaded(path, card, trust_code=trust_code)


def load_model(path_or_name: str | Path, root: str | Path = "runs", *, trust_code: bool = False) -> Archive:
    """Loads an archived model as ``load_archive`` does, but without the data that it was made for.

    Raises:
        Refusal: as ``load_archive``; the archive is of before its card described samples; or the model's output for the
            card's probe is another one.
    """
    path, card = _consented(path_or_name, root, trust_code=trust_code)
    run = _build(path, card, _stand_in(path, card), trust_code=trust_code)
    _refuse_another_signature(path, card, run)
    _load_weights(path, run)
    _probe(path, card, run)
    return Archive(path, card, run)


def loaded(path: Path, card: dict[str, Any], *, trust_code: bool) -> Archive:
    """Assembles the model of a verified archive, as ``load_archive`` does."""
    run = _build(path, card, trust_code=trust_code)
    _warn_of_other_data(path, card, run)
    _refuse_another_signature(path, card, run)
    _load_weights(path, run)
    _check_itself(path, card, run)
    return Archive(path, card, run)


def _consented(path_or_name: str | Path, root: str | Path, *, trust_code: bool) -> tuple[Path, dict[str, Any]]:
    """Finds an archive and verifies it; says which code of its own will run."""
    path = find_archive(path_or_name, root)
    card = verified(path)
    if trust_code:
        for name, sha256 in code_files(card).items():
            logger.warning("runs the archive's own code: %s (SHA-256 %s)", path / name, sha256)
    return path, card


def evaluation_only(configuration: Configuration, *, reads: bool = True) -> Configuration:
    """Returns a recorded configuration that is changed to evaluate only, on a device that this machine has.

    What concerns the first weights alone, such as the settings that a model lists in ``only_initial``, is left out: the
    weights come from a checkpoint or an archive, and the files that they began with need not be there any more.

    Args:
        configuration: the recorded configuration.
        reads: whether data is read; otherwise, nothing is prepared for it.
    """
    training = configuration.training
    device = training.device if training.device == "cpu" else "auto"
    here = training.model_copy(update={"device": device, "compile": False})
    without = {} if reads else {"placement": "stream", "augmentations": [], "drop_last": False}
    loading = configuration.data.loading.model_copy(update={"workers": 0, **without})
    data = replace(configuration.data, loading=loading)
    alone = replace(configuration, handlers=(), scheduler=None, scheduler_parts={}, weights=None)
    model = configuration.model
    initial = model.component.signature.attributes.get("only_initial", ())
    begun = {name: model.default(name) for name in model.parameters if name in initial}
    model = replace(model, parameters={**model.parameters, **begun})
    return replace(alone, training=here, data=data, model=model)


def signature(run: Run) -> dict[str, Any]:
    """Returns the signature of a model, its input and output, in the form of the card."""
    import torch

    specification, model = run.data.specification, run.model.eval()
    with torch.inference_mode():
        output = model(torch.zeros(1, *specification.shape, device=run.device))
    latent_dim = getattr(model, "latent_dim", None)
    return {
        "input": {
            "shape": list(specification.shape),
            "channels": specification.shape[0],
            "dtype": "float32",
            "pixel_range": specification.pixel_range,
        },
        "latent_shape": None if latent_dim is None else [latent_dim],
        "output": {
            "shape": list(output.shape[1:]) if isinstance(output, torch.Tensor) else None,
            "activation": getattr(model, "output_activation", None),
            "loss": getattr(run.module.loss, "name", run.module.loss),
        },
        "classes": list(specification.classes),
    }


def self_check(run: Run, images: int) -> tuple[str, float]:
    """Measures one metric on the first images of the split on which archived models are evaluated.

    A model that reconstructs images is measured by PSNR, which needs no random numbers and is the same on every device.

    Returns:
        The metric's name and its value.
    """
    from firebox.engine.archives.measurement import evaluation_split, measure

    metrics = measure(run, evaluation_split(run), images)
    name = "psnr" if "psnr" in metrics else "loss"
    return name, float(metrics[name])


def _stand_in(path: Path, card: Mapping[str, Any]) -> DataModule:
    """Returns data without content, of the specification that the card describes."""
    from firebox.data.declarations.specification_record import specification_from
    from firebox.engine.checks.fake_data import FakeData

    described = card.get("specification")
    if described is None or "probe" not in card:
        raise _refusal(
            f"{path / CARD}: describes no samples, and so its model can't be used without its data; "
            "expected the card of a later archive: firebox archive RUN"
        )
    try:
        return FakeData(specification_from(described), {"train": 1})
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _refusal(f"{path / CARD}: specification: got {shown(described)}, expected that of samples") from None


def _build(path: Path, card: Mapping[str, Any], data: DataModule | None = None, *, trust_code: bool) -> Run:
    from firebox.engine.archives.module_state import load_module_state, read_module_state
    from firebox.engine.training.bases.ownership import StateMismatch
    from firebox.engine.training.factory import build

    renamed = trusted(path, card) if trust_code else untrusted(path, card)
    # The model needs neither handlers nor a schedule.
    left_out = ", ".join(f"{{{name}: false}}" for name in default_handlers())
    assignments = (f"handlers=[{left_out}]", "scheduler=null")
    configuration = read(card["trainer"], path / CONFIGURATION, None, assignments, renamed)
    try:
        run = build(evaluation_only(configuration, reads=data is None), data=data)
        load_module_state(run.module, read_module_state(path, run.device) or {"module": {}})
    except Refusal:
        raise
    except StateMismatch as error:
        raise _refusal(f"{path}: {error}") from None
    except Exception as error:  # values of a card or a configuration can make Python or torch raise anything
        raise _refusal(f"{path}: can't be assembled as its configuration and card say: {in_one_line(error)}") from error
    return run


def _warn_of_other_data(path: Path, card: Mapping[str, Any], run: Run) -> None:
    from firebox.data.fingerprints.changes import Changes
    from firebox.data.fingerprints.fingerprint import Fingerprint, agree

    try:
        recorded = Fingerprint.from_plain(card["data"]["fingerprint"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return  # archives of before have none
    now = run.identity.fingerprint
    if not agree(recorded.digests, now.digests):
        logger.warning(
            "%s: the data is not what the model was trained on: %s", path, "; ".join(Changes(recorded, now).told())
        )


def _refuse_another_signature(path: Path, card: Mapping[str, Any], run: Run) -> None:
    here, there = signature(run), card["signature"]
    if not isinstance(there, dict):
        raise _refusal(f"{path / CARD}: signature: got {shown(there)}, expected a map")
    for key in dict.fromkeys([*here, *there]):
        if here.get(key) != there.get(key):
            message = f"the card has {shown(there.get(key))}, data and model have {shown(here.get(key))}"
            raise _refusal(f"{path / CARD}: signature.{key}: {message}")


def _load_weights(path: Path, run: Run) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        run.model.load_state_dict(load_file(path / WEIGHTS), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise _refusal(f"{path / WEIGHTS}: doesn't fit the model: {' '.join(str(error).split())}") from None
    run.model.eval()


def _check_itself(path: Path, card: Mapping[str, Any], run: Run) -> None:
    recorded = card["self_check"]
    from firebox.engine.archives.measurement import evaluation_split

    name, value = self_check(run, min(recorded["images"], run.streams[evaluation_split(run)].samples))
    if name != recorded["metric"] or not math.isclose(value, recorded["value"], rel_tol=TOLERANCE):
        message = f"{recorded['metric']} on {recorded['images']} images is {value:.6g}, the card has"
        raise _refusal(f"{path}: self-check failed: {message} {recorded['value']:.6g}: data or code have changed")


def _probe(path: Path, card: Mapping[str, Any], run: Run) -> None:
    from firebox.engine.archives.probe import fault_of_probe, probe

    if card["probe"] is None:
        return
    try:
        fault = fault_of_probe(card["probe"], probe(run))
    except (ValueError, LookupError, TypeError):
        raise _refusal(f"{path / CARD}: probe: got {shown(card['probe'])}, expected values of an output") from None
    if fault is not None:
        raise _refusal(f"{path}: self-check failed: {fault}: code or libraries have changed")


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
