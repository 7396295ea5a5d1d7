"""What was trained, to be used from Python: archived models, and the table of all runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.records.flat_runs import Row, flat
from firebox.engine.records.listing import runs_in

if TYPE_CHECKING:
    from firebox.engine.archives.archive import Archive


def load(
    archive: str | os.PathLike[str], root: str | os.PathLike[str] = "runs", *, trust_code: bool = False
) -> Archive:
    """Loads an archived model, verified, without the data that it was trained on.

    Its ``preprocess`` makes the model's input of an image file, and ``classes`` names what it predicts.

    Args:
        archive: the archive's folder, or its name below ``root``, such as ``fashion_mini/archived_v1_2026-11-24``; a
            folder that ``firebox push`` made, or one on a hub: ``hf://user/name``.
        root: the folder that all runs are below.
        trust_code: whether to run the user's own code that the archive holds.

    Raises:
        Refusal: as ``load_model``.
    """
    from firebox.engine.archives.loading import load_model

    return load_model(os.fspath(archive), Path(root), trust_code=trust_code)


def runs(root: str | os.PathLike[str] = "runs") -> list[Row]:
    """Returns all runs below a folder, the one whose status changed last at the end, as rows for ``pandas.DataFrame``.

    A row has ``directory``, ``status``, ``iteration``, the latest metrics (``metrics.validation/loss``), the best one
    at a checkpoint (``best.value``) and all settings (``optimizer.lr``); nothing that a run names is imported.
    """
    return [flat(run) for run in runs_in(Path(root))]
