"""An archived model, loaded, with what it takes to use it on images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.foundation.problems import Problem, Refusal

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.datamodule import DataModule
    from firebox.data.declarations.specification import ImageSpecification
    from firebox.engine.training.bases.module import Module
    from firebox.engine.training.run import Run


@dataclass(frozen=True, slots=True)
class Archive:
    """An archived model and the data that it was made for.

    Args:
        path: the archive's folder.
        card: content of the archive's card.
        run: run assembled from the archived configuration, without handlers; its model has the archived weights and is
            in evaluation mode. From ``load_model``, the run has stand-in data, of which only the specification is real.
    """

    path: Path
    card: dict[str, Any]
    run: Run

    @property
    def model(self) -> torch.nn.Module:
        return self.run.model

    @property
    def module(self) -> Module:
        return self.run.module

    @property
    def data(self) -> DataModule:
        return self.run.data

    @property
    def specification(self) -> ImageSpecification:
        return self.run.data.specification

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's output; none if the data has no classes."""
        return tuple(self.specification.classes)

    def preprocess(self, *images: str | Path) -> torch.Tensor:
        """Reads image files as the model takes them: decoded, scaled and cropped as its training data was.

        Args:
            images: paths of image files.

        Returns:
            The model's input, (N, C, H, W) float32 on its device, in its range of pixels.

        Raises:
            Refusal: a file can't be read, or no file makes a sample of the archive's data.
        """
        import torch

        from firebox.data.decoding.decoding import UnreadableFile
        from firebox.data.sources.batch import Batch
        from firebox.engine.archives.decoding import decoder_for

        decoder = decoder_for(self.path, self.card, self.specification)
        try:
            samples = torch.stack([decoder(Path(image)) for image in images])
        except UnreadableFile as error:
            raise Refusal([Problem("", str(error))]) from None
        for fault in self.specification.faults(samples):
            raise Refusal([Problem("", f"{self.path}: {fault}")])
        return self.run.preparation(Batch(samples, None, torch.arange(len(samples)))).images
