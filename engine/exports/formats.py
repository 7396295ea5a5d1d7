"""The file formats that archived models are exported to: how each is written, and computed with."""

from __future__ import annotations

import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch

from firebox.engine.exports.standalone import Exported, Standalone, refusal
from firebox.foundation.problems import in_one_line

LARGEST_ONNX = 2**31 - 2**20
"""Bytes of weights that an ONNX file has room for, as a protocol buffer has at most 2 GiB."""


class Format(ABC):
    """A format whose files compute by themselves.

    Their outputs may differ from the archived model's by ``tolerance``, absolute, or relative to the largest output
    where that is above 1.
    """

    suffix: ClassVar[str]
    tolerance: ClassVar[float] = 1e-5
    needs: ClassVar[tuple[str, ...]] = ()
    """Packages that are not installed with Firebox."""
    extra: ClassVar[str] = ""
    """Firebox's extra that installs them."""

    def require(self, name: str) -> None:
        """Refuses if a package is missing."""
        missing = [package for package in self.needs if importlib.util.find_spec(package) is None]
        if missing:
            way_out = f"pip install 'firebox[{self.extra}]'"
            raise refusal(f"--to {name} needs {' and '.join(missing)}, not installed here: {way_out}")

    @abstractmethod
    def write(self, exported: Exported, file: Path) -> dict[str, Any]:
        """Writes a file; returns what is to be said of it."""

    @abstractmethod
    def compute(self, file: Path, exported: Exported, given: torch.Tensor) -> torch.Tensor:
        """Returns a written file's output for an input."""


class TorchExport(Format):
    """A program of ``torch.export``, which ``torch.export.load`` reads."""

    suffix = ".pt2"

    def write(self, exported: Exported, file: Path) -> dict[str, Any]:
        program = program_of(exported)
        with _silent():
            torch.export.save(program, file)
        return {"torch": torch.__version__}

    def compute(self, file: Path, exported: Exported, given: torch.Tensor) -> torch.Tensor:
        with _silent(), torch.no_grad():
            output: torch.Tensor = torch.export.load(file).module()(given)
        return output


class ONNX(Format):
    """A graph of ONNX, with the weights inside."""

    suffix = ".onnx"
    needs = ("onnx", "onnxscript", "onnxruntime")
    extra = "onnx"

    def write(self, exported: Exported, file: Path) -> dict[str, Any]:
        size = sum(tensor.nbytes for tensor in exported.network.state_dict().values())
        if size > LARGEST_ONNX:
            raise refusal(f"its weights have {size:,} bytes, more than an ONNX file has room for; --to torch_export")
        program = program_of(exported)
        with _silent():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[exported.takes.name],
                output_names=[exported.gives.name],
            )
            assert converted is not None
            converted.save(file, external_data=False)
        return {"opset": converted.model.opset_imports[""]}

    def compute(self, file: Path, exported: Exported, given: torch.Tensor) -> torch.Tensor:
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (output,) = session.run([exported.gives.name], {exported.takes.name: given.numpy()})
        return torch.from_numpy(output)


FORMATS: dict[str, Format] = {"onnx": ONNX(), "torch_export": TorchExport()}


def program_of(exported: Exported) -> torch.export.ExportedProgram:
    """Returns a model as torch's graph, for any number of inputs at once.

    Raises:
        Refusal: torch can't follow the model.
    """
    network: Standalone = exported.network
    batch = torch.export.Dim("N")
    try:
        with _silent(), torch.no_grad():
            # Of two inputs: a graph that is traced with one may hold for one alone.
            return torch.export.export(network, (exported.samples[:2],), dynamic_shapes=({0: batch},))
    except Exception as error:  # whatever a user's model raises when it is traced
        kind = type(network.model).__name__
        raise refusal(f"torch.export can't follow {kind}: {in_one_line(error)}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Suppresses warnings of the exporters, which are about their own insides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
