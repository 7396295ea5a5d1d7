"""Recompute an iteration of a run: losses, gradient norm, samples."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Problem, Refusal

if TYPE_CHECKING:
    from firebox.engine.launch.replay import Replayed


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run's directory")
    parser.add_argument("--iteration", metavar="N", type=int, required=True, help="iteration, starting at 1")
    parser.add_argument("--dump", action="store_true", help="write the batch into RUN/replay as PNG and tensors")


def run(options: argparse.Namespace) -> int:
    console.start(quiet=False)
    try:
        return _replay(options.run, options.iteration, dump=options.dump)
    except BaseException as error:
        console.refused(refusal_of(error))
    return REFUSED


def _replay(path: Path, iteration: int, *, dump: bool) -> int:
    from firebox.engine.records.kept_code import read_with_kept_code
    from firebox.engine.records.run_directory import RunDirectory, is_run

    if not is_run(path):
        raise Refusal([Problem("", f"{path}: not a run's directory; expected one with config.yaml and status.json")])
    directory = RunDirectory(path)
    configuration, _, _ = read_with_kept_code(directory)
    from rich.table import Table

    from firebox.engine.launch.replay import replay

    replayed = replay(configuration, directory, iteration)
    begun = f"iteration {replayed.started_from}" if replayed.started_from else "the initialisation"
    table = Table("", "recomputed", "recorded", title=f"iteration {iteration}, from {begun}")
    recorded = replayed.recorded or {}
    for name, value in replayed.row.losses.items():
        table.add_row(name, repr(value), str(recorded.get(name, "")))
    for name, rate in replayed.row.learning_rates.items():
        table.add_row(name, repr(rate), str(recorded.get(name, "")))
    for name, norm in replayed.gradient_norms.items():
        table.add_row(f"gradient norm ({name})", repr(norm), "")
    console.results.print(table)
    if replayed.non_finite:
        console.results.print("not finite:", ", ".join(replayed.non_finite), markup=False)
    console.results.print("samples:", " ".join(map(str, replayed.batch.indices.tolist())), markup=False)
    verdict = "not recorded" if replayed.recorded is None else "equal" if replayed.equal else "different"
    console.results.print(f"losses: {verdict}")
    if dump:
        console.results.print(str(_dump(path, iteration, replayed)), markup=False)
    return FAILED if verdict == "different" else COMPLETED


def _dump(path: Path, iteration: int, replayed: Replayed) -> Path:
    """Writes the batch as the model saw it."""
    import torch

    from firebox.foundation.files import write_whole
    from firebox.foundation.pictures import encode, grid

    batch, folder = replayed.batch, path / "replay"
    folder.mkdir(exist_ok=True)
    tensors = folder / f"iteration_{iteration:08d}.pt"
    torch.save({"images": batch.images, "targets": batch.targets, "indices": batch.indices}, tensors)
    write_whole(tensors.with_suffix(".png"), encode(grid([replayed.shown], columns=16)))
    return folder
