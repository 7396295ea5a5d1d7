"""The quality of the images that a model draws, measured with each evaluation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ignite.engine import Engine, Events
from pydantic import Field, PositiveInt

from firebox.engine.training.bases.generative import Generative
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.files import write_whole
from firebox.foundation.paths import FilePath
from firebox.foundation.randomness import generator

if TYPE_CHECKING:
    from firebox.data.bases.datamodule import Split

FILE = "sample_quality.json"


class SampleQuality(Handler):
    """Compares drawn images with real ones, in the features of an archived classifier, with each evaluation.

    FD-cnn is the Fréchet distance over the classifier's pooled features. It needs no downloaded weights, as FID does,
    and is comparable under one classifier and one number of images alone. Beside it: precision and recall (k = 5), the
    accuracy of the nearest neighbour at telling drawn from real (0.5 is ideal), and the histogram of the drawn images'
    classes. The run's sample_quality.json names the classifier's SHA-256 beside the result.

    The same random numbers are drawn at each evaluation. Drawn images are rounded to bytes, as those of the data are.

    Args:
        classifier: folder of an archived classifier_baseline, trained on the same data.
        samples: number of images to draw, and of the split's first images to compare them with; at least as many as the
            classifier has features.
        splits: splits whose evaluations it belongs to. The test split is evaluated once, at the end.
    """

    phase = Phase.EVALUATE
    writes = (FILE,)
    measures = ("fd_cnn", "precision", "recall", "one_nn_accuracy")

    def __init__(
        self,
        *,
        classifier: FilePath,
        samples: PositiveInt = 2048,
        splits: Annotated[tuple[Literal["validation", "test"], ...], Field(min_length=1)] = ("test",),
    ) -> None:
        self.classifier = classifier
        self.samples = samples
        self.splits = splits

    def attach(self, run: Run) -> None:
        self._run = run
        run.evaluator.add_event_handler(Events.COMPLETED, self._measure)

    def start(self, run: Run) -> None:
        from firebox.engine.archives.feature_classifier import FeatureClassifier

        self._loaded = FeatureClassifier.load(self.classifier)

    def _measure(self, evaluator: Engine) -> None:
        """Adds to the metrics of an evaluation; those of an evaluation that a stop ended are not recorded."""
        run = self._run
        split = next((name for name in self.splits if run.streams.get(name) is evaluator.state.dataloader), None)
        if split is None or run.stop.requested:
            return
        from firebox.engine.archives.sample_quality import drawing, sample_quality

        assert isinstance(run.module, Generative), "a guard has refused any other"
        draw = drawing(run.module, generator(run.configuration.seed, "sample quality"))
        found = sample_quality(self._loaded, run, run.streams[split], draw, self.samples)
        evaluator.state.metrics.update(found)
        run.background.submit(self._write, split, run.iteration, self._loaded.about(), found)

    def _write(self, split: Split, iteration: int, classifier: dict[str, Any], found: dict[str, Any]) -> None:
        path = self._run.directory.path / FILE
        values = {name: value if isinstance(value, float) else value.tolist() for name, value in found.items()}
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        now = {"iteration": iteration, "samples": self.samples, "classifier": classifier, **values}
        write_whole(path, json.dumps({**before, split: now}, indent=1) + "\n")
