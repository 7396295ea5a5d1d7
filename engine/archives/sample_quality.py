"""The quality of drawn images: how close they come to a split of the data in an archived classifier's features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric

from firebox.data.streaming.stream import BatchStream
from firebox.engine.archives.feature_classifier import FeatureClassifier
from firebox.engine.archives.sample_metrics import (
    NEIGHBOURS,
    ClassHistogram,
    FrechetDistance,
    NearestNeighbourAccuracy,
    Precision,
    Recall,
)
from firebox.engine.training.bases.generative import CLASSES, Generative
from firebox.engine.training.run import Run
from firebox.engine.training.steps.quiet_engine import QuietEngine
from firebox.foundation.pictures import as_bytes

TOGETHER = 256
"""Number of images that are drawn at a time."""


def fewest_samples(classifier: FeatureClassifier) -> int:
    """Returns the number of images below which there are no metrics."""
    return max(classifier.dimension, NEIGHBOURS + 1)


def quality_metrics(classes: int, device: torch.device) -> dict[str, Metric]:
    """Returns the metrics by name; an engine's output that they read is features and classes of drawn images, and
    features of real ones."""

    def features(output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        return output[0], output[2]

    return {
        "fd_cnn": FrechetDistance(features, device=device),
        "precision": Precision(features, device=device),
        "recall": Recall(features, device=device),
        "one_nn_accuracy": NearestNeighbourAccuracy(features, device=device),
        CLASSES: ClassHistogram(classes, lambda output: output[1], device=device),
    }


def sample_quality(
    classifier: FeatureClassifier, run: Run, stream: BatchStream, draw: Callable[[int], torch.Tensor], count: int
) -> dict[str, Any]:
    """Compares drawn images with as many real ones, the first of a split, both rounded to bytes.

    Args:
        classifier: the classifier whose features describe an image.
        run: the run whose data is compared with.
        stream: the split's images.
        draw: function that draws so many images, in the data's pixel range (n, C, H, W).
        count: number of images.

    Returns:
        The metrics by name: FD-cnn, precision, recall, 1-NN accuracy, and the histogram of classes (classes,) int64.
    """
    specification = run.data.specification

    def step(_: Engine, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        drawn = as_bytes(specification.to_unit(draw(len(images))))
        return *classifier.describe(drawn), classifier.describe(images)[0]

    engine = QuietEngine(step)
    engine.logger.setLevel(logging.CRITICAL)  # errors are reported once, by whoever measures
    for name, metric in quality_metrics(len(specification.classes), classifier.archive.run.device).items():
        metric.attach(engine, name)
    return dict(engine.run(list(_real(run, stream, count)), max_epochs=1).metrics)


def drawing(module: Generative, generator: torch.Generator) -> Callable[[int], torch.Tensor]:
    """Returns the function that draws images of a module's model, all from one generator, without gradients."""

    def draw(count: int) -> torch.Tensor:
        with torch.inference_mode():
            return module.sample(count, generator)

    return draw


def _real(run: Run, stream: BatchStream, count: int) -> Iterator[torch.Tensor]:
    specification = run.data.specification
    for batch in stream.in_order(count, TOGETHER):
        yield as_bytes(specification.as_unit(batch.images))
