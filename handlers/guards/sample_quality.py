"""Guards for the measurement of drawn images."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, Refusal
from firebox.handlers.sample_quality import SampleQuality


class SampleQualityMeasured(Guard):
    """Refuses to measure drawn images where none are drawn, by an unfit classifier, or on too few images."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        if preflight.assembled:
            return
        for attached in preflight.handlers_of(SampleQuality):
            yield from self._faults_of_module(preflight, attached.path)
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
            samples, fewest = settings["samples"], fewest_samples(classifier)
            wanted = (*attached.path, "samples")
            if samples < fewest:
                message = (
                    f"got {samples}, but the classifier has {classifier.dimension} features, and the covariance of "
                    f"fewer images has no full rank; expected {fewest} or more: --set {'.'.join(wanted)}=2048"
                )
                yield preflight.problem(message, *wanted)
            for split in settings["splits"]:
                length = preflight.split_lengths.get(split, 0)
                if 0 < length < samples:
                    message = f"got {samples}, but the {split} split has {length} images; expected at most as many"
                    yield preflight.problem(f"{message}: --set {'.'.join(wanted)}={length}", *wanted)

    def _faults_of_module(self, preflight: Preflight, path: tuple[str, ...]) -> Iterator[Problem]:
        from firebox.engine.training.bases.generative import Generative

        if not isinstance(preflight.run.module, Generative):
            module = preflight.configuration.module.component.short_name
            message = f"the module {module} draws no images; expected one that does, such as gan"
            yield preflight.problem(f"{message}, or without this handler", *path)
