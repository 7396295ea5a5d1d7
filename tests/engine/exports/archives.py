"""Archives of shipped models with drawn weights, assembled without a training, for the tests of exports."""

from pathlib import Path

import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.archives.archive import Archive
from firebox.engine.archives.loading import evaluation_only
from firebox.engine.checks.fake_data import FakeData
from firebox.engine.configuration import read
from firebox.engine.training.factory import build


def archive_of(
    trainer: str, specification: ImageSpecification, *settings: str, decoding: dict[str, str] | None = None
) -> Archive:
    """Returns an archive whose model has drawn weights.

    Args:
        trainer: name of the trainer, whose default configuration counts.
        specification: specification of the data.
        settings: assignments that change the configuration.
        decoding: what the card says of how files are decoded; None for data that is no files.
    """
    from firebox.engine.commands.train import trainers

    off = "handlers=[{image_dump: false}, {checkpoint: false}]"
    configuration = read(trainer, trainers()[trainer].default, None, ["training.device=cpu", off, *settings])
    run = build(evaluation_only(configuration, reads=False), data=FakeData(specification, {"train": 1}))
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in run.model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.1)
    run.model.eval()
    card = {"name": "data/archived_v1_2026-01-01", "version": "0" * 64, "seal": "1" * 64, "decoding": decoding}
    return Archive(Path("nowhere"), {**card, "model": {"name": configuration.model.name}}, run)
