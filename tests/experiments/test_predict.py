"""Predictions of images of a user's own by archived models whose data is gone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.decoding.decoding import ImageDecoder
from firebox.engine.archives.loading import load_model
from firebox.experiments.predict import main
from firebox.foundation.package import ROOT
from tests.data.folders_of_images import picture, write_images
from tests.exactness import Fork, start_python
from tests.experiments.archives import AUTOENCODER, CLASSIFIER, archive_without_data, own_archive


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_without_data(tmp_path_factory.mktemp("classifier"), CLASSIFIER, "classifier_baseline")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive_without_data(tmp_path_factory.mktemp("autoencoder"), AUTOENCODER, "cae_baseline")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "mine", 11, classes=("x", "y"))
    return tmp_path / "mine"


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels_of(file: Path) -> numpy.ndarray[Any, Any]:
    with Image.open(file) as picture:
        return numpy.asarray(picture)


def predict(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_classes_are_the_models_own_in_the_order_of_the_names(classifier: Path, images: Path) -> None:
    assert predict(classifier, images) == 0
    rows = table_of(Path("predictions"))
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.*"))
    assert [row["file"] for row in rows] == names
    decoder = ImageDecoder((16, 24), "rgb")
    with torch.inference_mode():
        shares = load_model(classifier).model(torch.stack([decoder(images / name) for name in names]) / 255).softmax(1)
    for row, own in zip(rows, shares.tolist(), strict=True):
        assert [float(row["p(ant)"]), float(row["p(bee)"])] == pytest.approx(own, abs=1e-5)
        assert row["class"] == ("ant" if own[0] > own[1] else "bee")
        assert row["probability"] == max(row["p(ant)"], row["p(bee)"], key=float)


def test_workers_change_nothing(autoencoder: Path, images: Path) -> None:
    assert predict(autoencoder, images, "--output", "alone") == 0
    assert predict(autoencoder, images, "--output", "helped", "--workers", "2") == 0
    for name in ("predictions.csv", "worst.png"):
        assert Path("alone", name).read_bytes() == Path("helped", name).read_bytes()


def test_errors_and_embeddings_are_those_of_the_model(autoencoder: Path, images: Path) -> None:
    assert predict(autoencoder, images, "--reconstructions") == 0
    made = Path("predictions")
    rows = table_of(made)
    decoder, model = ImageDecoder((16, 24), "grayscale"), load_model(autoencoder).model
    given = torch.stack([decoder(images / row["file"]) for row in rows]) / 255
    with torch.inference_mode():
        shown, latents = model(given).clamp(0, 1), model.embed(given)  # type: ignore[operator]
    for row, image, own in zip(rows, given, shown, strict=True):
        assert float(row["error"]) == pytest.approx(float((image - own).square().mean()), rel=1e-4)
        pixels = pixels_of(made / row["reconstruction"])
        assert numpy.abs(pixels - own[0].numpy() * 255).max() < 1
    with numpy.load(made / "embeddings.npz", allow_pickle=False) as file:
        assert file["names"].tolist() == [row["file"] for row in rows]
        assert file["embeddings"].dtype == numpy.float32
        assert numpy.allclose(file["embeddings"], latents.numpy(), atol=1e-5)
    # All eleven, in two blocks of three rows, each image enlarged four times.
    assert pixels_of(made / "worst.png").shape == (6 * (4 * 16 + 2) + 2, 8 * (4 * 24 + 2) + 2)
    about = json.loads((made / "about.json").read_text())
    assert about["predicted"] == 11 and "mean squared error" in about["meaning"]["error"]


def test_the_worst_are_the_largest_errors_in_order(autoencoder: Path, images: Path) -> None:
    write_images(images, 30)
    assert predict(autoencoder, images) == 0
    errors = {row["file"]: float(row["error"]) for row in table_of(Path("predictions"))}
    worst = max(errors, key=errors.__getitem__)
    shown = pixels_of(Path("predictions", "worst.png"))[2:66:4, 2:98:4]
    expected = ImageDecoder((16, 24), "grayscale")(images / worst)[0].numpy()
    assert numpy.array_equal(shown, expected)


def test_a_file_that_cannot_be_read_is_refused_or_told_in_the_table(
    classifier: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "x" / "torn.png").write_bytes(b"\x89PNG torn")
    assert predict(classifier, images) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "torn.png can't be read as an image" in told and "--on-bad-file skip" in told
    assert sorted(path.name for path in Path().iterdir()) == ["mine"]
    assert predict(classifier, images, "--on-bad-file", "skip") == 0
    rows = {row["file"]: row for row in table_of(Path("predictions"))}
    assert len(rows) == 12
    torn = rows.pop("x/torn.png")
    assert "can't be read as an image" in torn["problem"] and torn["class"] == ""
    assert not any(row["problem"] for row in rows.values())
    (images / "x" / "torn.png").unlink()
    assert predict(classifier, images, "--output", "without") == 0
    for row in table_of(Path("without")):
        assert rows[row["file"]]["p(ant)"] == pytest.approx(row["p(ant)"])


def test_nothing_is_made_where_no_file_can_be_read(
    autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("torn.png").write_bytes(b"torn")
    assert predict(autoencoder, "torn.png", "--on-bad-file", "skip", "--output", "new/folders/made") == 2
    assert "torn.png: none of 1 files can be read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["torn.png"]


@pytest.mark.usefixtures("images")
def test_a_single_image_of_any_mode_is_predicted(classifier: Path) -> None:
    deep = (numpy.arange(40 * 60).reshape(40, 60) * 27).astype(numpy.uint16)
    Image.fromarray(deep).save("deep.png")
    picture(3, (60, 40)).convert("RGBA").save("clear.png")
    for name in ("deep.png", "clear.png"):
        assert predict(classifier, name, "--output", f"of_{name}") == 0
        assert [row["file"] for row in table_of(Path(f"of_{name}"))] == [name]


@pytest.mark.parametrize(("name", "delimiter", "start"), [("list.csv", ",", "\ufeff"), ("list.tsv", "\t", "")])
def test_a_table_names_images_beside_itself_and_its_rows_are_kept(
    classifier: Path, images: Path, name: str, delimiter: str, start: str
) -> None:
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.*"))[:3]
    rows = [("number", "picture"), ("1", names[2]), ("2", f'"{images / names[0]}"'), ("3", names[2])]
    (images / name).write_text(start + "\n".join(delimiter.join(row) for row in rows) + "\n\n")
    assert predict(classifier, images / name, "--column", "picture") == 0
    found = table_of(Path("predictions"))
    assert [row["file"] for row in found] == [names[2], str(images / names[0]), names[2]]
    assert found[0] == found[2] != found[1]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("file\na.png\n", [], "--column is path, but list.csv has no such column"),
        ("pth\na.png\n", [], "did you mean pth?"),
        ("path\n", [], "has no rows"),
        ("", [], "list.csv is empty, expected a header"),
        ("path,n\na,1,2\n", [], "line 2: 3 values, expected 2 as in the header"),
        ("path\nnone.png\n", [], "none.png is not there"),
        ("path,n\n,1\n", [], "is not named"),
        ("path\n.\n", [], "is no file"),
        ("path\n\0\n", [], "\\x00 is not there"),
    ],
)
def test_a_table_that_names_no_images_is_refused_in_one_line(
    classifier: Path, capsys: pytest.CaptureFixture[str], content: str, options: list[str], message: str
) -> None:
    Path("list.csv").write_text(content)
    assert predict(classifier, "list.csv", *options) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not Path("predictions").exists()


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no nowhere; expected a folder of images"),
        (["empty"], "empty holds no images"),
        (["mine", "--column", "path"], "is for a table"),
        (["mine", "--output", "mine/predictions"], "lie in each other"),
        (["mine", "--output", "."], "lie in each other"),
        (["mine/x", "--output", "there"], "is there already, and has no about.json; name another folder by --output"),
        (["mine/x", "--output", "there", "--overwrite"], "is there already, and has no about.json"),
        (["mine/x", "--output", "mine.csv", "--overwrite"], "is there already"),
        (["mine", "--reconstructions"], "reconstructs nothing"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(
    classifier: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    Path("there").mkdir()
    Path("there", "precious.txt").touch()
    Path("mine.csv").touch()
    before = sorted(Path().rglob("*"))
    assert predict(classifier, *arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_nothing_is_written_into_an_archive(classifier: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = classifier.parent.parent
    for place in (classifier / "predictions", classifier / "experiments" / "predictions"):
        assert predict(f"image_folder/{classifier.name}", images, "--root", root, "--output", place) == 2
        assert "and the archive, " in capsys.readouterr().err


def test_an_output_of_before_is_replaced_where_that_is_asked_for(
    classifier: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(classifier, images) == 0
    assert predict(classifier, images) == 2
    assert "or replace it by --overwrite" in capsys.readouterr().err
    (images / "x" / "000.png").unlink()
    assert predict(classifier, images, "--overwrite") == 0
    assert len(table_of(Path("predictions"))) == 10
    assert sorted(path.name for path in Path().iterdir()) == ["mine", "predictions"]


def test_odd_names_are_predicted_and_the_table_stays_utf8(autoencoder: Path, images: Path) -> None:
    for name in (b"a,\nb.png", b"\xff\xfe.png", 'ä\u0308 "q".png'.encode()):
        (images / os.fsdecode(name)).write_bytes((images / "x" / "000.png").read_bytes())
    assert predict(autoencoder, images, "--reconstructions") == 0
    rows = table_of(Path("predictions"))
    assert {"a,\nb.png", "\\udcff\\udcfe.png", 'ä\u0308 "q".png'} <= {row["file"] for row in rows}
    assert Path(os.fsdecode(b"predictions/reconstructions/\xff\xfe.png")).is_file()
    with numpy.load("predictions/embeddings.npz") as file:
        assert len(set(file["names"].tolist())) == 14


def own(folder: Path, kind: str, *arguments: object) -> Path:
    archive = own_archive(folder, kind)
    assert predict(archive, *arguments, "--trust-code", "--output", kind) == 0
    return Path(kind)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("kind", "outside"), [("mask", 255), ("plain_mask", 0)])
def test_a_mask_has_the_images_own_size_and_lies_where_the_image_does(
    tmp_path_factory: pytest.TempPathFactory, kind: str, outside: int
) -> None:
    pixels = numpy.zeros((64, 192), numpy.uint8)  # twice as wide as a sample: a quarter is cut from either side
    pixels[:32, 96:] = 255
    Path("own/deep").mkdir(parents=True)
    Image.fromarray(pixels).save("own/deep/wide.png")
    Image.fromarray(pixels).save("own/deep/wide.bmp")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter clockwise
    Image.fromarray(pixels).rotate(90, expand=True).save("own/turned.jpg", quality=95, exif=turned)
    made = own(tmp_path_factory.mktemp(kind), kind, "own")
    rows = {row["file"]: row for row in table_of(made)}
    assert rows["deep/wide.png"]["mask"] == "masks/deep/wide.png.png"
    assert rows["deep/wide.bmp"]["mask"] == "masks/deep/wide.bmp.png"
    assert rows["turned.jpg"]["mask"] == "masks/turned.png"
    expected = numpy.full((64, 192), outside, numpy.uint8)
    expected[:, 48:144] = pixels[:, 48:144] // 255
    for row in rows.values():
        with Image.open(made / row["mask"]) as mask:
            assert mask.mode == "P"
            assert mask.getpalette()[:6] == [0, 0, 0, 230, 159, 0]  # type: ignore[index]
            assert numpy.array_equal(numpy.asarray(mask), expected), row
        assert [int(row[f"pixels({name})"]) for name in ("ground", "sky", "sea")] == [64 * 96 - 32 * 48, 32 * 48, 0]


@pytest.mark.usefixtures("images")
def test_labels_values_and_target_images_are_predicted(tmp_path_factory: pytest.TempPathFactory) -> None:
    Path("own").mkdir()
    for name, shade in (("dark", 0), ("light", 255)):
        Image.new("L", (24, 16), shade).save(f"own/{name}.png")
    labels = table_of(own(tmp_path_factory.mktemp("labels"), "labels", "own"))
    assert [row["labels"] for row in labels] == ["", "wet; dry"]
    assert [float(row["p(dry)"]) for row in labels] == pytest.approx([0.377541, 0.622459], abs=1e-5)
    values = table_of(own(tmp_path_factory.mktemp("values"), "values", "own"))
    assert values == [
        {"file": "dark.png", "height": "-0.5", "width": "-0.5"},
        {"file": "light.png", "height": "0.5", "width": "0.5"},
    ]
    shown = table_of(own(tmp_path_factory.mktemp("image"), "image", "own"))
    assert [row["image"] for row in shown] == ["images/dark.png", "images/light.png"]
    assert pixels_of(Path("image", "images", "dark.png")).min() == 255


def test_code_of_the_archives_own_runs_by_consent_alone(
    images: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = own_archive(tmp_path_factory.mktemp("undeclared"), "undeclared")
    assert predict(archive, images) == 2
    assert "expected --trust-code" in capsys.readouterr().err
    assert predict(archive, images, "--trust-code") == 2
    assert "OwnModule says that its output is None, of the values height" in capsys.readouterr().err
    assert not Path("predictions").exists()


def start(archive: Path, images: Path, log: Path) -> Fork:
    """Starts to predict by the script, and waits until it writes."""
    with log.open("w") as output:
        script = ROOT / "experiments" / "predict.py"
        process = start_python(script, archive, images, output=output, cwd=images.parent)
    limit = time.monotonic() + 120
    while not list(images.parent.glob(".predictions.*.writing/predictions.csv")):
        assert process.poll() is None and time.monotonic() < limit, log.read_text()
        time.sleep(0.01)
    return process


@pytest.fixture
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is printed goes."""
    return tmp_path_factory.mktemp("log") / "output.txt"


@pytest.fixture
def many(images: Path) -> Path:
    """So many images that their prediction takes longer than a signal."""
    first = images / "x" / "000.png"
    picture(1, (1500, 1500)).save(first)
    for number in range(1000, 3000):
        os.link(first, images / f"{number}.png")
    return images


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_nothing_and_says_so(
    autoencoder: Path, many: Path, log: Path, number: signal.Signals, code: int
) -> None:
    process = start(autoencoder, many, log)
    process.send_signal(number)
    ended = process.wait()
    error = log.read_text()
    assert ended == code, error
    assert "stopped; predictions was not made" in error and "Traceback" not in error
    assert [path.name for path in many.parent.iterdir()] == ["mine"]


def test_what_a_kill_leaves_is_removed_by_the_next(autoencoder: Path, many: Path, log: Path) -> None:
    process = start(autoencoder, many, log)
    process.kill()
    process.wait()
    assert list(many.parent.glob(".predictions.*"))
    assert predict(autoencoder, many / "y") == 0
    assert sorted(path.name for path in many.parent.iterdir()) == ["mine", "predictions"]


def test_help_imports_no_torch() -> None:
    code = "import sys; from firebox.experiments import predict; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
