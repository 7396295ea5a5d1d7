"""Guards for the measurement of drawn images."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.attached import Attached
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, Refusal, setting
from firebox.handlers.evaluation import Evaluation
from firebox.handlers.sample_quality import SampleQuality

USUAL = 2048
"""Number of images by default."""


class SampleQualityMeasured(Guard):
    """Refuses to measure drawn images where none are drawn, by an unfit classifier, or on too few images."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:
            return
        for attached in preflight.handlers_of(SampleQuality):
            yield from self._faults_of_module(preflight, attached.path)
            yield from self._never_evaluated(preflight, attached)
            settings = attached.named.parameters
            given, path = settings["classifier"], (*attached.path, "classifier")
            from firebox.engine.archives.feature_classifier import FeatureClassifier
            from firebox.engine.archives.sample_quality import fewest_samples

            try:
                classifier = FeatureClassifier.load(given)
            except (Refusal, ValueError) as error:
                messages = [p.message for p in error.problems] if isinstance(error, Refusal) else [str(error)]
                for message in messages:
                    yield preflight.problem(message, *path)
                return
            for fault in classifier.faults(preflight.specification):
                yield preflight.problem(f"got {given}, {fault}", *path)
            yield from self._faults_of_number(preflight, attached, classifier.dimension, fewest_samples(classifier))

    def _faults_of_number(
        self, preflight: Preflight, attached: Attached, features: int, fewest: int
    ) -> Iterator[Problem]:
        samples, path = attached.named.parameters["samples"], (*attached.path, "samples")
        lengths = {split: preflight.split_lengths.get(split, 0) for split in attached.named.parameters["splits"]}
        most = min(filter(None, lengths.values()), default=USUAL)
        rank = f"the classifier has {features} features, and the covariance of fewer images has no full rank"
        for split, length in lengths.items():
            if 0 < length < fewest:
                message = f"got {split}, which has {length} images, but {rank}; expected a split of {fewest} or more"
                yield preflight.problem(message, *attached.path, "splits")
            elif 0 < length < samples:
                message = f"got {samples}, but the {split} split has {length} images; expected at most as many"
                yield preflight.problem(f"{message}: {setting('.'.join(path), str(length))}", *path)
        if samples < fewest <= most:
            way_out = setting(".".join(path), str(min(most, USUAL)))
            yield preflight.problem(f"got {samples}, but {rank}; expected {fewest} or more: {way_out}", *path)

    def _never_evaluated(self, preflight: Preflight, attached: Attached) -> Iterator[Problem]:
        """Yields the splits that nothing evaluates: drawn images are measured with an evaluation."""
        evaluations = preflight.handlers_of(Evaluation)
        for split in attached.named.parameters["splits"]:
            if not evaluations:
                why, way_out = "the handler evaluation is left out", setting("handlers.evaluation", "{}")
            elif split == "test" and not any(each.named.parameters.get("test", True) for each in evaluations):
                key = ".".join((*evaluations[0].path, "test"))
                why, way_out = f"{key} is false", setting(key, "true")
            else:
                continue
            message = f"got {split}, but {why}, and drawn images are measured with an evaluation; expected "
            yield preflight.problem(message + way_out, *attached.path, "splits")

    def _faults_of_module(self, preflight: Preflight, path: tuple[str, ...]) -> Iterator[Problem]:
        from firebox.engine.training.bases.generative import Generative

        if not isinstance(preflight.run.module, Generative):
            module = preflight.configuration.module.component.short_name
            message = f"the module {module} draws no images; expected one that does, such as gan"
            yield preflight.problem(f"{message}, or without this handler", *path)
