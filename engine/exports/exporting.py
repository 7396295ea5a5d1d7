"""Exports an archived model to a file of another program, checked before it appears, with a description beside it."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from firebox.engine.archives.archive import Archive
from firebox.engine.exports.formats import FORMATS, Format
from firebox.engine.exports.standalone import Exported, exported, refusal
from firebox.engine.records.sealing import SEAL
from firebox.engine.records.verification import WEIGHTS
from firebox.foundation.files import digest, write_whole
from firebox.foundation.problems import Refusal, in_one_line

logger = logging.getLogger("firebox")

SAFETENSORS = "safetensors"
NAMES = (*FORMATS, SAFETENSORS)


def export(archive: Archive, name: str, output: Path | None = None) -> Path:
    """Exports an archived model.

    Args:
        archive: the archived model.
        name: name of the format: onnx, torch_export or safetensors.
        output: file to write; None for one that is called as the archive, in the working directory.

    Returns:
        The file. Beside it is a JSON file of its name and ``.json``.

    Raises:
        Refusal: something of that name is there, a package is missing, the model can't be exported, or the file
            computes something else. Nothing is left behind.
    """
    file = output or Path(f"{archive.card['name'].replace('/', '_')}{suffix_of(name)}")
    beside = file.with_name(f"{file.name}.json")
    for path in (file, beside):
        if os.path.lexists(path):
            raise refusal(f"{path} is there already; name another file by --output, or remove it")
    if file.resolve().is_relative_to(archive.path.resolve()):
        raise refusal(f"--output {file} lies in the archive, which is never changed; name another file")
    about = _about(archive, name)
    with TemporaryDirectory(prefix="firebox_") as folder:
        temporary = Path(folder) / f"model{suffix_of(name)}"
        if name == SAFETENSORS:
            about |= _write_weights(archive, temporary)
        else:
            FORMATS[name].require(name)
            about |= _write_program(exported(archive), FORMATS[name], temporary)
        about |= {"file": file.name, "sha256": digest(temporary), "bytes": temporary.stat().st_size}
        try:
            # The model comes last: where it is, its description is.
            write_whole(beside, json.dumps(about, indent=1) + "\n")
            write_whole(file, temporary.read_bytes())
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise refusal(f"can't write {file}: {error.strerror or error}") from None
    return file


def suffix_of(name: str) -> str:
    """Returns the suffix of a format's files."""
    return ".safetensors" if name == SAFETENSORS else FORMATS[name].suffix


def _about(archive: Archive, name: str) -> dict[str, Any]:
    card = archive.card
    return {
        "format": name,
        "archive": {"name": card["name"], "version": card["version"], "sha256_of_card": card[SEAL]},
        "created_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "model": card["model"]["name"],
        "classes": list(archive.classes),
        "decoding": card.get("decoding"),
        "license": card.get("license"),
    }


def _write_program(model: Exported, kind: Format, file: Path) -> dict[str, Any]:
    try:
        written = kind.write(model, file)
        parts = (model.samples, model.samples[:1])  # another number of inputs than was traced, and one alone
        found = [kind.compute(file, model, part) for part in parts]
    except Refusal:
        raise
    except Exception as error:  # converters raise anything about an operation that they don't know
        raise refusal(f"{type(model.network.model).__name__} can't be exported: {in_one_line(error)}") from error
    largest = max(_difference(ours, model.outputs[: len(ours)]) for ours in found)
    scale = max(1.0, float(model.outputs.abs().max()))
    if not largest <= kind.tolerance * scale:
        raise refusal(
            f"the exported model computes something else: outputs differ by up to {largest:.3g}, "
            f"tolerated are {kind.tolerance * scale:.3g}; nothing was written"
        )
    return {
        "input": model.takes.plain(),
        "output": model.gives.plain(),
        "checked": {
            "samples": len(model.samples),
            "largest_difference": largest,
            "largest_output": float(model.outputs.abs().max()),
            "tolerance": kind.tolerance * scale,
        },
        **written,
    }


def _difference(ours: torch.Tensor, expected: torch.Tensor) -> float:
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        return float("inf")
    return float((ours - expected).abs().max())


def _write_weights(archive: Archive, file: Path) -> dict[str, Any]:
    """Writes the weights, with the preprocessing as text in the file's header, and verifies that they are the same."""
    from safetensors.torch import load_file, save_file

    card = archive.card
    weights = load_file(archive.path / WEIGHTS)
    described: Mapping[str, Any] = {key: card.get(key) for key in ("preprocessing", "signature", "specification")}
    header = {"format": "pt", "archive": card["name"], **{key: json.dumps(value) for key, value in described.items()}}
    save_file(weights, file, metadata=header)
    again = load_file(file)
    if again.keys() != weights.keys() or not all(_identical(again[key], weights[key]) for key in weights):
        raise refusal("the exported weights are not the archived ones; nothing was written")
    return {**described, "checked": {"tensors": len(weights), "equal": True}}


def _identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same bits, NaN included."""
    flat = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*flat)
