"""A folder of images: what counts as a class, a split, an image; and what is said where something is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.bases.datamodule import hold_out
from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.decoding import Background, Color
from firebox.data.image_folder import ImageFolder


def _write(path: Path, color: tuple[int, int, int] | int = 0, size: tuple[int, int] = (8, 8)) -> None:
    """Writes an image of one colour; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", size, color).save(path)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for number in range(10):
        _write(tmp_path / "cat" / f"{number}.png", number)
        _write(tmp_path / "ant" / "nested" / f"{number}.PNG", 100 + number)
    (tmp_path / "empty").mkdir()
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    _write(tmp_path / "cat" / ".hidden.png")
    return tmp_path


def test_sub_folders_are_classes_in_alphabetical_order(classes: Path) -> None:
    datamodule = ImageFolder(root=str(classes), image_size=(8, 8), validation_fraction=0)
    images, labels = datamodule.read("train").gather(torch.arange(20))

    assert datamodule.missing() is None
    assert datamodule.specification.classes == ("ant", "cat")
    assert labels is not None
    assert labels.tolist() == [0] * 10 + [1] * 10
    assert images[:, 0, 0, 0].tolist() == [*range(100, 110), *range(10)]


def test_a_seeded_share_is_held_out_and_there_is_no_test_split(classes: Path) -> None:
    datamodule = ImageFolder(root=str(classes), image_size=(8, 8), validation_fraction=0.3)
    values = {
        split: set(datamodule.read(split).gather(torch.arange(count))[0][:, 0, 0, 0].tolist())  # type: ignore[arg-type]
        for split, count in (("train", 14), ("validation", 6))
    }

    assert datamodule.split_lengths == {"train": 14, "validation": 6}
    assert not values["train"] & values["validation"]
    assert len(values["train"] | values["validation"]) == 20
    with pytest.raises(DataError, match="has no test split"):
        datamodule.read("test")


def test_every_class_that_has_two_images_is_trained_on_and_validated_on(tmp_path: Path) -> None:
    for name, count in (("ant", 30), ("bee", 2), ("cat", 1)):
        for number in range(count):
            _write(tmp_path / name / f"{number}.png", number)
    datamodule = ImageFolder(root=str(tmp_path), image_size=(8, 8))
    lengths = datamodule.split_lengths
    labels = {split: datamodule.read(split).gather(torch.arange(lengths[split]))[1] for split in lengths}

    assert lengths == {"train": 29, "validation": 4}
    assert {split: len(datamodule.read(split)) for split in lengths} == lengths
    assert all(own is not None for own in labels.values())
    assert labels["train"].bincount(minlength=3).tolist() == [27, 1, 1]  # type: ignore[union-attr]
    assert labels["validation"].bincount(minlength=3).tolist() == [3, 1, 0]  # type: ignore[union-attr]


def test_without_classes_the_same_images_are_held_out_as_ever(tmp_path: Path) -> None:
    for number in range(20):
        _write(tmp_path / f"{number:02d}.png", number)
    source = ImageFolder(root=str(tmp_path), image_size=(8, 8), validation_fraction=0.2).read("validation")
    held_out = source.gather(torch.arange(4))[0][:, 0, 0, 0]

    assert held_out.tolist() == hold_out(20, 0.2, 0)[1].tolist()


def test_images_without_sub_folders_have_no_labels(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "jpeg", "bmp", "webp"):
        _write(tmp_path / f"image.{suffix}", (200, 100, 50))
    datamodule = ImageFolder(root=str(tmp_path), image_size=(4, 6), validation_fraction=0)
    images, labels = datamodule.read("train").gather(torch.arange(5))

    assert labels is None
    assert datamodule.specification.classes == ()
    assert images.dtype == torch.uint8
    assert images.shape == (5, *datamodule.specification.shape) == (5, 3, 4, 6)
    assert (images.float().mean((2, 3)) - torch.tensor([200.0, 100.0, 50.0])).abs().max() < 4


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Valid"])
def test_split_folders_are_taken_as_splits(validation: str, tmp_path: Path) -> None:
    for split, count in (("train", 3), (validation, 2), ("test", 1)):
        for number in range(count):
            _write(tmp_path / split / "b" / f"{number}.png", count)
    _write(tmp_path / "train" / "a" / "0.png")
    datamodule = ImageFolder(root=str(tmp_path), image_size=(8, 8))

    assert datamodule.split_lengths == {"train": 4, "validation": 2, "test": 1}
    images, labels = datamodule.read("validation").gather(torch.arange(2))
    assert labels is not None
    assert labels.tolist() == [1, 1]
    assert (images == 2).all()
    assert datamodule.read("test").gather(torch.tensor([0]))[1] == torch.tensor([1])
    assert len(datamodule.read("train")) == 4


def test_without_a_validation_folder_a_share_of_train_is_held_out(tmp_path: Path) -> None:
    for number in range(10):
        _write(tmp_path / "train" / f"{number}.png")
    _write(tmp_path / "test" / "0.png")

    assert ImageFolder(root=str(tmp_path)).split_lengths == {"train": 9, "validation": 1, "test": 1}


def test_a_class_called_train_is_a_class_where_there_are_no_splits(tmp_path: Path) -> None:
    for name in ("train", "tram"):
        _write(tmp_path / name / "0.png")
    refused = str(ImageFolder(root=str(tmp_path)).missing())

    assert "train/ is named like a split, but not tram/" in refused
    assert refused.endswith("if all folders are classes: --set datamodule.splits=none")
    assert ImageFolder(root=str(tmp_path), splits="none").specification.classes == ("train", "tram")


def test_the_image_is_scaled_to_cover_and_cut_in_its_center(tmp_path: Path) -> None:
    wide = numpy.zeros((8, 32), numpy.uint8)
    wide[:, 10:22] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    image = (
        ImageFolder(root=str(tmp_path), image_size=(4, 4), color="grayscale").read("train").gather(torch.tensor([0]))[0]
    )

    assert image.shape == (1, 1, 4, 4)
    assert (image == 255).all()


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = numpy.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(numpy.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = ImageFolder(root=str(tmp_path), image_size=(9, 7)).read("train").gather(torch.tensor([0]))[0][0]

    assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))


def test_16_bit_images_are_kept_or_read_as_8_with_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(numpy.full((8, 8), 128 * 256 + 7, numpy.uint16)).save(tmp_path / "deep.png")
    kept = ImageFolder(root=str(tmp_path), image_size=(8, 8)).read("train").gather(torch.tensor([0]))[0]
    shallow = ImageFolder(root=str(tmp_path), image_size=(8, 8), dtype="uint8").read("train").gather(torch.tensor([0]))

    assert kept.dtype == torch.uint16
    assert (kept.int() == 128 * 256 + 7).all()
    assert (shallow[0] == 128).all()


RED, CLEAR_BLUE, HALF_GREEN = (255, 0, 0, 255), (0, 0, 255, 0), (0, 255, 0, 128)
OVER = {  # red, transparent blue, and green at 128 of 255, over each background
    "white": [[255, 0, 0], [255, 255, 255], [127, 255, 127]],
    "black": [[255, 0, 0], [0, 0, 0], [0, 128, 0]],
}


@pytest.mark.parametrize("background", ["white", "black"])
@pytest.mark.parametrize("mode", ["RGBA", "P", "webp"])
def test_transparency_is_laid_over_the_background(mode: str, background: Background, tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([RED, CLEAR_BLUE, HALF_GREEN])
    if mode == "P":
        palette = Image.new("P", (3, 1))
        palette.putdata([0, 1, 2])
        palette.putpalette([value for pixel in (RED, CLEAR_BLUE, HALF_GREEN) for value in pixel[:3]])
        palette.save(tmp_path / "a.png", transparency=bytes([255, 0, 128]))
    elif mode == "webp":
        image.save(tmp_path / "a.webp", lossless=True, exact=True)
    else:
        image.save(tmp_path / "a.png")
    found = ImageFolder(root=str(tmp_path), image_size=(1, 3), background=background).read("train")

    assert found.gather(torch.tensor([0]))[0][0, :, 0].T.tolist() == OVER[background]


@pytest.mark.parametrize(("background", "shade"), [("white", 255), ("black", 0)])
@pytest.mark.parametrize("mode", ["LA", "L", "I;16", "RGB", "1"])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_a_transparent_shade_is_laid_over_the_background(
    mode: str, background: Background, shade: int, color: Color, tmp_path: Path
) -> None:
    if mode == "LA":
        image = Image.new("LA", (2, 1))
        image.putdata([(0, 255), (90, 0)])
        image.save(tmp_path / "a.png")
    else:
        image = Image.new(mode, (2, 1), 0)
        clear = {"L": 90, "I;16": 90 * 256 + 1, "RGB": (90, 90, 90), "1": 1}[mode]
        image.putpixel((1, 0), clear)
        image.save(tmp_path / "a.png", transparency=255 if mode == "1" else clear)
    found = ImageFolder(root=str(tmp_path), image_size=(1, 2), color=color, background=background).read("train")
    most = shade * 257 if mode == "I;16" else shade

    assert found.gather(torch.tensor([0]))[0][0, 0, 0].tolist() == [0, most]


def test_transparent_pixels_do_not_show_when_an_image_is_scaled(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))  # a black that is nowhere to be seen
    image.paste((255, 255, 255, 255), (0, 0, 32, 64))
    image.save(tmp_path / "a.png")
    found = ImageFolder(root=str(tmp_path), image_size=(5, 5)).read("train")

    assert (found.gather(torch.tensor([0]))[0] == 255).all()


def test_the_rotation_that_a_camera_notes_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = numpy.zeros((8, 8), numpy.uint8)
    pixels[:4] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = ImageFolder(root=str(tmp_path), image_size=(8, 8)).read("train").gather(torch.tensor([0]))[0]

    assert (image[..., :4, :] == 0).all()
    assert (image[..., 4:, :] == 255).all()


def test_a_split_can_be_pickled_for_worker_processes(classes: Path) -> None:
    source = ImageFolder(root=str(classes), image_size=(8, 8)).read("train")
    copy = pickle.loads(pickle.dumps(source))

    assert torch.equal(copy.gather(torch.arange(18))[0], source.gather(torch.arange(18))[0])


def test_specification_and_lengths_open_no_image(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a png")
    datamodule = ImageFolder(root=str(tmp_path))

    assert datamodule.specification.shape == (3, 64, 64)
    assert datamodule.split_lengths == {"train": 1, "validation": 0}
    assert datamodule.missing() is None


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_broken_image_is_named(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    Image.fromarray(numpy.random.default_rng(0).integers(0, 256, (64, 64)).astype(numpy.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])

    with pytest.raises(DataError, match=r".*broken\.png can't be read as an image: "):
        ImageFolder(root=str(tmp_path)).read("train").gather(torch.tensor([0]))


def test_a_missing_or_empty_root_is_said_beforehand(tmp_path: Path) -> None:
    absent, empty = (ImageFolder(root=str(path)) for path in (tmp_path / "absent", tmp_path))

    assert str(absent.missing()).startswith(f"there is no folder {tmp_path}/absent; datamodule.root")
    assert str(empty.missing()).startswith(f"{tmp_path} holds no images (.png, ")
    assert "--set 'datamodule={name: fashion_mini}'" in str(absent.missing())
    with pytest.raises(DataError, match="holds no images"):
        empty.read("train")


def test_ambiguous_folders_are_refused(tmp_path: Path) -> None:
    for name in ("stray.png", "cat/0.png"):
        _write(tmp_path / "mixed" / name)
    for name in ("train/0.png", "validation/0.png", "val/0.png"):
        _write(tmp_path / "both" / name)
    for name in ("train/cat/0.png", "test/dog/0.png"):
        _write(tmp_path / "unknown" / name)

    mixed, both, unknown = (ImageFolder(root=str(tmp_path / name)).missing() for name in ("mixed", "both", "unknown"))
    assert "has class folders (cat) and images outside them: stray.png" in str(mixed)
    assert "val/, validation/ are the same split" in str(both)
    assert f"{tmp_path}/unknown/test has dog, but {tmp_path}/unknown/train has cat" in str(unknown)
