"""An archived classifier that describes images by its features, to compare drawn images with real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.archives.archive import Archive
from firebox.engine.archives.loading import load_model
from firebox.foundation.problems import shown

TOGETHER = 512
"""Number of images that are described at a time."""


@dataclass(frozen=True, slots=True)
class FeatureClassifier:
    """An archived classifier whose features describe images.

    Args:
        archive: the archived classifier.
        dimension: number of features of an image.
    """

    archive: Archive
    dimension: int

    @classmethod
    def load(cls, path: str | Path, root: str | Path = "runs") -> FeatureClassifier:
        """Loads an archived classifier, verified as every archive is, without its data.

        Raises:
            Refusal: there is no such archive, or it can't be loaded.
            ValueError: its model is no classifier with features.
        """
        archive = load_model(path, root)
        if archive.module.output_kind != "class_logits" or not callable(getattr(archive.model, "features", None)):
            kind = type(archive.model).__name__
            raise ValueError(
                f"got {shown(str(path))}, whose model {kind} is no classifier with features; expected the archive of a "
                "classifier_baseline: firebox train classifier_baseline, then firebox archive RUN"
            )
        images = torch.zeros(1, *archive.specification.shape, device=archive.run.device)
        with torch.inference_mode():
            return cls(archive, archive.model.features(images).shape[1])  # type: ignore[operator]

    def about(self) -> dict[str, Any]:
        """Returns which classifier it is, for a result: metrics are comparable under one alone."""
        card = self.archive.card
        return {"archive": card["name"], "sha256": card["version"], "features": self.dimension}

    def faults(self, specification: ImageSpecification) -> Iterator[str]:
        """Yields what keeps it from describing images of a specification."""
        own = self.archive.specification
        if own.shape != specification.shape:
            yield f"which takes images of shape {own.shape}, expected one for the data's, {specification.shape}"
        elif own.classes != specification.classes:
            yield f"whose classes are {shown(', '.join(own.classes))}, expected the data's: " + shown(
                ", ".join(specification.classes) or "none"
            )

    def describe(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the features (N, D) and the classes (N,) int64 of images (N, C, H, W) uint8, on its device."""
        features, classes = [], []
        with torch.inference_mode():
            for part in images.split(TOGETHER):
                unit = part.to(self.archive.run.device).float() / 255
                found = self.archive.model.features(self.archive.specification.from_unit(unit))  # type: ignore[operator]
                features.append(found)
                classes.append(self.archive.model.classify(found).argmax(1))  # type: ignore[operator]
        return torch.cat(features), torch.cat(classes)
