"""The quality of drawn images, measured with an archived classifier; and what is refused before it."""

import json

import pytest
import torch
import yaml

from firebox.engine.archives.feature_classifier import FeatureClassifier
from firebox.engine.archives.sample_quality import sample_quality
from firebox.engine.checks.report import preflight
from firebox.engine.components.catalogue import default_handlers
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_vae_baseline import TRAINER
from tests import ways_out
from tests.experiments.archives import archive_of
from tests.handlers.runs import rows_of, trained

CLASSIFIER = """\
trainer: classifier_baseline
datamodule: {name: fashion_mini, batch_size: 300}
model: {name: classifier_baseline, channels: [4, 8]}
module: {name: classification}
training: {epochs: 1, device: cpu}
handlers: [progress: false, image_dump: false, loss_log: false]
"""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return archive_of(tmp_path_factory.mktemp("classifier"), CLASSIFIER, "classifier_baseline")


def configured(folder, settings, handlers=None, **sections):
    """Returns the configuration of a short run of a variational autoencoder whose drawn images are measured."""
    content = {
        "trainer": "vae_baseline",
        "datamodule": {"name": "fashion_mini", "batch_size": 600},
        "model": {"name": "linear_vae", "latent_dim": 4},
        "module": {"name": "variational", "loss": "gaussian"},
        "training": {"epochs": 1, "device": "cpu"},
        "output": {"root": str(folder / "runs"), "version": "run"},
        **sections,
    }
    own = {"evaluation": {}, "loss_log": {}, "sample_quality": settings, **(handlers or {})}
    content["handlers"] = [{name: False} for name in default_handlers() if name not in own]
    content["handlers"] += [{name: parameters} for name, parameters in own.items()]
    path = folder / "configuration.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return read(TRAINER.name, TRAINER.default, path)


def test_a_run_measures_what_it_draws_and_names_the_classifier(tmp_path, classifier):
    settings = {"classifier": str(classifier), "samples": 200, "splits": ["validation", "test"]}
    configuration = configured(tmp_path, settings, {"image_dump": {}})
    preflight(configuration, TRAINER)
    run = trained(configuration)
    content = json.loads((run.directory.path / "sample_quality.json").read_text())
    card = json.loads((classifier / "card.json").read_text())
    assert content["test"]["classifier"] == {"archive": card["name"], "sha256": card["version"], "features": 8}
    assert sum(content["test"]["class_histogram"]) == content["test"]["samples"] == 200
    for split in ("validation", "test"):
        row = [row for row in rows_of(run) if row["split"] == split][-1]
        for name in ("fd_cnn", "precision", "recall", "one_nn_accuracy"):
            assert row[name] == content[split][name]
        assert list((run.directory.images / split).glob("*_class_histogram.png"))


def test_real_images_score_better_than_noise(tmp_path, classifier):
    run = trained(configured(tmp_path, {"classifier": str(classifier), "samples": 200}))
    judge, stream = FeatureClassifier.load(classifier), run.streams["test"]
    images = stream.first(400).images / 255

    def compared(drawn):
        return sample_quality(judge, run, stream, lambda count: drawn[:count], 200)

    same, others, noise = compared(images[:200]), compared(images[200:]), compared(torch.rand(200, 1, 28, 28))
    assert same["fd_cnn"] == pytest.approx(0, abs=1e-9)
    assert same["precision"] == same["recall"] == 1
    assert noise["fd_cnn"] > 10 * others["fd_cnn"] > 0
    assert noise["one_nn_accuracy"] > 0.95 and others["one_nn_accuracy"] == pytest.approx(0.5, abs=0.1)


def test_the_same_seed_draws_the_same_images(tmp_path, classifier):
    runs = [trained(configured(tmp_path / name, {"classifier": str(classifier), "samples": 64})) for name in "ab"]
    assert runs[0].metrics["test/fd_cnn"] == runs[1].metrics["test/fd_cnn"]


def test_the_best_checkpoint_may_be_that_of_the_best_samples(tmp_path, classifier):
    watching = {"checkpoint": {"monitor": "validation/fd_cnn"}}
    settings = {"classifier": str(classifier), "samples": 64}
    preflight(configured(tmp_path, {**settings, "splits": ["validation"]}, watching), TRAINER)
    least = {"checkpoint": {"monitor": "validation/recall"}}
    with pytest.raises(Refusal, match="got min, but more of validation/recall is better"):
        preflight(configured(tmp_path, {**settings, "splits": ["validation"]}, least), TRAINER)
    with pytest.raises(Refusal, match="got validation/fd_cnn, but the module variational does not produce it"):
        preflight(configured(tmp_path, settings, watching), TRAINER)


RECONSTRUCTION = {"model": {"name": "linear_autoencoder", "latent_dim": 4}, "module": {"name": "reconstruction"}}
FEW = {"datamodule": {"name": "fashion_mini", "batch_size": 600, "validation_fraction": 0.001}}
SHAPES = {"datamodule": None, "datagenerator": {"name": "shapes", "image_size": [8, 8], "batch_size": 100}}


@pytest.mark.parametrize(
    ("settings", "sections", "key", "message"),
    [
        ({"samples": 7}, {}, "handlers.sample_quality.samples",
         "got 7, but the classifier has 8 features.*expected 8 or more: --set handlers.sample_quality.samples=1000"),
        ({"samples": 20, "splits": ["validation"]}, FEW, "handlers.sample_quality.splits",
         "got validation, which has 6 images, but the classifier has 8 features.*expected a split of 8 or more"),
        ({"samples": 64, "splits": []}, {}, "handlers.sample_quality.splits", r"got \[\], expected"),
        ({"samples": 64}, {"handlers": {"evaluation": {"test": False}}}, "handlers.sample_quality.splits",
         "got test, but handlers.evaluation.test is false, .* --set handlers.evaluation.test=true"),
        ({"samples": 64}, {"handlers": {"evaluation": False}}, "handlers.sample_quality.splits",
         "got test, but the handler evaluation is left out, .* expected --set .handlers.evaluation={}."),
        ({"samples": 2048}, {}, "handlers.sample_quality.samples",
         "got 2048, but the test split has 1000 images.*samples=1000"),
        ({"classifier": "nowhere"}, {}, "handlers.sample_quality.classifier", "no archive .*nowhere"),
        ({"samples": 64}, SHAPES, "handlers.sample_quality.classifier", "which takes images of shape"),
        ({"samples": 64}, RECONSTRUCTION, "handlers.sample_quality", "the module reconstruction draws no images"),
    ],
    ids=["features", "few", "none", "no test", "no evaluation", "split", "archive", "shape", "module"],
)  # fmt: skip
def test_what_could_not_be_measured_is_refused_before_training(tmp_path, classifier, settings, sections, key, message):
    with pytest.raises(Refusal, match=f"(?s){message}") as refusal:
        preflight(configured(tmp_path, {"classifier": str(classifier), **settings}, **sections), None)
    (problem,) = refusal.value.problems
    assert problem.key == key and problem.mark is not None
    for way_out in ways_out.settings(problem.message):
        file = tmp_path / "configuration.yaml"
        preflight(read(TRAINER.name, TRAINER.default, file, [way_out]), None)


def test_an_archive_of_no_classifier_is_refused(tmp_path):
    text = CLASSIFIER.replace("classifier_baseline", "cae_baseline").replace("channels: [4, 8]", "channels: [4]")
    archive = archive_of(tmp_path, text.replace("classification", "reconstruction"), "cae_baseline")
    with pytest.raises(Refusal, match="whose model CAEBaseline is no classifier with features"):
        preflight(configured(tmp_path, {"classifier": str(archive)}), TRAINER)
