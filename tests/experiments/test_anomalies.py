"""Distributions of reconstruction errors, and the area under the ROC curve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from firebox.experiments import predict
from firebox.experiments.anomalies import auroc, main
from tests.data.folders_of_images import write_images
from tests.experiments.archives import AUTOENCODER, CLASSIFIER, archive_of

ERRORS = "file,error\n{}/ant/1.png,0.5\n{}/ant/2.png,0.25\n{}/bee/1.png,0.5\n{}/bee/2.png,0.75\n{}/cow/1.png,0.125\n"


def slow_auroc(scores: torch.Tensor, anomalous: torch.Tensor) -> float:
    pairs = [(a, b) for a in scores[anomalous].tolist() for b in scores[~anomalous].tolist()]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_auroc_is_that_of_all_pairs_ties_counted_half(levels: int) -> None:
    draw = torch.Generator().manual_seed(levels)
    for _ in range(20):
        count = int(torch.randint(2, 60, (), generator=draw))
        scores = torch.randint(levels, (count,), generator=draw).double() / levels
        anomalous = torch.rand(count, generator=draw) < 0.3
        anomalous[0], anomalous[-1] = True, False
        assert auroc(scores, anomalous) == slow_auroc(scores, anomalous)


def test_auroc_of_what_is_told_apart_perfectly_not_at_all_or_the_wrong_way_round() -> None:
    anomalous = torch.tensor([False, False, True])
    assert auroc(torch.tensor([1.0, 2.0, 3.0]), anomalous) == 1
    assert auroc(torch.tensor([1.0, 1.0, 1.0]), anomalous) == 0.5
    assert auroc(torch.tensor([1.0, 2.0, 0.0]), anomalous) == 0


@pytest.mark.parametrize("above", ["", "test", "/data/all"])
def test_a_table_of_predictions_is_examined_by_its_folders(tmp_path: Path, above: str) -> None:
    text = ERRORS.replace("{}", above) if above else ERRORS.replace("{}/", "")
    (tmp_path / "predictions.csv").write_text(text)
    assert main([str(tmp_path), "--anomaly", "bee"]) == 0
    found = json.loads((tmp_path / "anomalies.json").read_text())
    assert found["auroc"] == pytest.approx((1 + 1 + 1 + 1 + 1 + 0.5) / 6)
    assert {name: own["images"] for name, own in found["classes"].items()} == {"ant": 2, "bee": 2, "cow": 1}
    with Image.open(tmp_path / "anomalies.png") as picture:
        assert picture.size[0] > 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,class\na.png,cat\n", "has no errors of reconstructions"),
        ("file,error\n", "has no errors of reconstructions"),
        ("file,error\na.png,x\n", "has no errors of reconstructions"),
        ("file,error\na.png,nan\n", "has no errors of reconstructions"),
        ("file,error\na.png,1\nb.png,2\n", "the images have no classes"),
        ("file,error\nx/a.png,1\ny/b.png,2\n", 'got "z", expected one of: x, y'),
    ],
)
def test_a_table_that_says_nothing_of_anomalies_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "predictions.csv").write_text(content)
    assert main([str(tmp_path / "predictions.csv"), "--anomaly", "z"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_errors_of_an_archive_are_those_of_its_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images" / "train", 40)
    write_images(tmp_path / "images" / "test", 12)
    archive = archive_of(tmp_path, AUTOENCODER, "cae_baseline")
    assert main([str(archive), "--anomaly", "ant"]) == 0
    of_archive = json.loads((archive / "experiments" / "anomalies.json").read_text())
    assert (of_archive["split"], of_archive["images"]) == ("test", 12)
    assert predict.main([str(archive), "images/test"]) == 0
    assert main(["predictions", "--anomaly", "ant"]) == 0
    of_predictions = json.loads(Path("predictions", "anomalies.json").read_text())
    assert of_predictions["auroc"] == of_archive["auroc"]
    for name, own in of_archive["classes"].items():
        assert of_predictions["classes"][name] == pytest.approx(own, rel=1e-4)


def test_a_classifier_has_no_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path / "images", 40)
    archive = archive_of(tmp_path, CLASSIFIER, "classifier_baseline")
    capsys.readouterr()
    assert main([str(archive)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("anomalies needs a model that reconstructs its input")
