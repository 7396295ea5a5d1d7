"""Images and their targets in two folders: what belongs together, and how both are decoded alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.bases.datamodule import Split
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Mask
from firebox.data.image_pairs import ImagePairs
from firebox.data.preparation.prepared import PreparedImages
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import RememberedImages

CLASSES = ["sky", "sea", "land"]


def classes_of(seed: int, size: tuple[int, int]) -> numpy.ndarray:
    """Returns a mask (H, W) of rectangles, another in each corner."""
    draw = numpy.random.default_rng(seed)
    height, width = size
    mask = numpy.zeros(size, numpy.uint8)
    mask[: draw.integers(height // 4, height // 2), : draw.integers(width // 4, width // 2)] = 1
    mask[draw.integers(height // 2, height - 4) :, draw.integers(width // 4, width - 4) :] = 2
    return mask


def write(path: Path, pixels: numpy.ndarray, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def write_pairs(
    root: Path, count: int, *, places: tuple[str, str] = ("images", "targets"), suffix: str = "png"
) -> None:
    """Writes images whose shade says the class of each pixel, and the masks."""
    for number in range(count):
        mask = classes_of(number, (30 + number % 5, 40))
        write(root / places[0] / f"{number:02d}.{suffix}", mask * 100)
        write(root / places[1] / f"{number:02d}.png", mask)


def made(root: Path, **settings: Any) -> ImagePairs:
    settings = {"target": "mask", "classes": CLASSES, "image_size": (16, 16), "color": "grayscale", **settings}
    return ImagePairs(root=str(root), **settings)


def refused(datamodule: ImagePairs, cache: Path) -> str:
    with pytest.raises(DataError) as error:
        datamodule.prepare(Reading(cache=cache))
    return str(error.value)


def samples(datamodule: ImagePairs, split: Split = "train") -> tuple[torch.Tensor, torch.Tensor]:
    images, targets = datamodule.read(split).gather(torch.arange(datamodule.split_lengths[split]))
    assert targets is not None
    return images, targets


# What belongs together


def test_pairs_have_the_same_name_up_to_the_suffix_and_a_share_is_held_out(tmp_path: Path) -> None:
    write_pairs(tmp_path, 10, suffix="jpg")
    write_pairs(tmp_path, 2, places=("images/deeper", "targets/deeper"), suffix="bmp")
    datamodule = made(tmp_path, validation_fraction=0.25)

    assert datamodule.missing() is None
    assert datamodule.split_lengths == {"train": 9, "validation": 3}
    listing = datamodule.listing
    assert listing.targets is not None
    assert list(zip(listing.names, listing.targets.names, strict=True))[-2:] == [
        ("images/deeper/00.bmp", "targets/deeper/00.png"),
        ("images/deeper/01.bmp", "targets/deeper/01.png"),
    ]
    assert datamodule.specification.target == Mask(tuple(CLASSES))
    assert datamodule.specification.classes == ()


@pytest.mark.parametrize("inside", [True, False])
def test_splits_lie_in_both_folders_or_both_folders_in_each_split(inside: bool, tmp_path: Path) -> None:
    for split, count in (("train", 4), ("Val", 3), ("test", 2)):
        places = (f"images/{split}", f"targets/{split}") if inside else (f"{split}/images", f"{split}/targets")
        write_pairs(tmp_path, count, places=places)
    datamodule = made(tmp_path)

    assert datamodule.split_lengths == {"train": 4, "validation": 3, "test": 2}
    images, masks = samples(datamodule, "test")
    assert ((images[:, 0].float() / 100).round() != masks).float().mean() < 0.15


@pytest.mark.parametrize("inside", [True, False])
def test_a_map_names_the_splits(inside: bool, tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        places = (f"x/{split}", f"y/{split}") if inside else (f"{split}/x", f"{split}/y")
        write_pairs(tmp_path, 2, places=places)
    folders = {"images": "x", "targets": "y"}
    assert "--set 'datamodule.splits={train: train2017, validation: val2017}'" in str(
        made(tmp_path, **folders).missing()
    )
    named = made(tmp_path, **folders, splits={"train": "train2017", "validation": "val2017"})

    assert named.split_lengths == {"train": 2, "validation": 2}


def test_a_folder_of_a_split_that_is_not_there_is_refused_with_the_closest(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2, places=("images/train", "targets/train"))

    assert str(made(tmp_path, splits={"train": "trian"}).missing()).endswith("images/trian; did you mean train?")


def test_masks_of_0_and_255_are_refused_with_what_says_what_255_is(tmp_path: Path) -> None:
    write(tmp_path / "data" / "images" / "a.png", classes_of(0, (16, 16)))
    write(tmp_path / "data" / "targets" / "a.png", (classes_of(0, (16, 16)) > 0).astype(numpy.uint8) * 255)
    told = refused(made(tmp_path / "data"), tmp_path / "cache")

    assert "has the values 255, expected 0, 1, 2; a map of classes or ignored says what 255 is" in told
    _, masks = samples(made(tmp_path / "data", classes={"a": 0, "b": 255}))
    assert masks.unique().tolist() == [0, 1]


def test_what_has_no_partner_is_left_out_and_said(tmp_path: Path) -> None:
    write_pairs(tmp_path, 5)
    (tmp_path / "images" / "01.png").unlink()
    for number in (2, 4):
        (tmp_path / "targets" / f"{number:02d}.png").unlink()
    datamodule = made(tmp_path, validation_fraction=0)

    assert datamodule.split_lengths == {"train": 2, "validation": 0}
    assert datamodule.listing.warnings == [
        "left out 2 images without a target of the same name: images/02.png, images/04.png",
        "left out 1 target without an image of the same name: targets/01.png",
    ]


def test_folders_that_hold_no_pairs_are_refused(tmp_path: Path) -> None:
    assert "there is no folder" in str(made(tmp_path / "nowhere").missing())
    write(tmp_path / "images" / "a.png", classes_of(0, (16, 16)))
    (tmp_path / "labels").mkdir()
    assert str(made(tmp_path).missing()).endswith("targets names; it has images/, labels/")
    assert "labels holds no images" in str(made(tmp_path, targets="labels").missing())
    write(tmp_path / "labels" / "a_mask.png", classes_of(0, (16, 16)))
    assert "such as images/a.png and labels/a_mask.png; name both alike" in str(
        made(tmp_path, targets="labels").missing()
    )
    write(tmp_path / "images" / "a.bmp", classes_of(0, (16, 16)))
    write(tmp_path / "labels" / "a.png", classes_of(0, (16, 16)))
    assert "images/a.bmp and images/a.png" in str(made(tmp_path, targets="labels").missing())
    (tmp_path / "twin").symlink_to(tmp_path / "labels")
    (tmp_path / "images" / "a.bmp").unlink()
    assert made(tmp_path, targets="twin").missing() is None


def test_a_split_without_targets_is_refused_with_the_setting_that_leaves_it_out(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2, places=("images/train", "targets/train"))
    write_pairs(tmp_path, 2, places=("images/test", "elsewhere"))
    told = str(made(tmp_path).missing())

    assert "there is no folder" in told
    assert told.endswith("to do without test: --set 'datamodule.splits={train: train}'")
    assert made(tmp_path, splits={"train": "train"}).split_lengths["train"] == 2


# What is read


@pytest.mark.parametrize("size", [(16, 16), (24, 16), (10, 30), (64, 64)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_masks_are_turned_scaled_and_cropped_as_their_images(
    orientation: int, suffix: str, size: tuple[int, int], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number, shape in enumerate([(400, 300), (301, 403), (160, 517)]):
        mask = classes_of(number, shape)
        write(tmp_path / "images" / f"{number}.{suffix}", mask * 100, exif=exif, **JPEG.get(suffix, {}))
        write(tmp_path / "targets" / f"{number}.png", mask)
    images, masks = samples(made(tmp_path, image_size=size, validation_fraction=0))

    classes = (images[:, 0].float() / 100).round()
    inside = (images[:, 0].float() - classes * 100).abs() < 4
    flat = inside & ~_edges(classes)
    assert flat.float().mean() > 0.6
    assert torch.equal(masks[flat].float(), classes[flat])
    assert (masks.float() != classes).float().mean() < 0.15
    assert not torch.equal(masks.flip(1)[flat.flip(1)].float(), classes[flat.flip(1)])  # the control: it is seen


JPEG: dict[str, dict[str, Any]] = {"jpg": {"quality": 98}}


def _edges(classes: torch.Tensor) -> torch.Tensor:
    """Returns where a neighbour has another class, bool (N, H, W)."""
    most = torch.nn.functional.max_pool2d(classes.unsqueeze(1), 3, 1, 1).squeeze(1)
    least = -torch.nn.functional.max_pool2d(-classes.unsqueeze(1), 3, 1, 1).squeeze(1)
    return most != least


def test_a_mask_that_was_drawn_upright_stays_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    mask = classes_of(1, (20, 30))
    write(tmp_path / "images" / "a.png", mask * 100, exif=exif)
    write(tmp_path / "targets" / "a.png", numpy.rot90(mask, -1).copy())
    images, masks = samples(made(tmp_path, image_size=(30, 20)))

    assert torch.equal(images[:, 0], masks * 100)
    assert masks[0].tolist() == numpy.rot90(mask, -1).tolist()


@pytest.mark.parametrize("kind", ["mask", "image"])
def test_wherever_they_are_held_pairs_are_equal_bit_by_bit(kind: str, tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 12, suffix="jpg")
    for number in range(12):
        deep = classes_of(number, (30 + number % 5, 40)).astype(numpy.uint16) * 2000
        write(tmp_path / "data" / "deep" / f"{number:02d}.tif", deep)
    settings: dict[str, Any] = {}
    if kind == "image":
        settings = {"target": "image", "targets": "deep", "target_value_range": (0, 4095), "color": "rgb"}
        settings |= {"target_color": "grayscale", "classes": None}
    prepared, plain = (made(tmp_path / "data", **settings) for _ in range(2))
    prepared.prepare(Reading(workers=2, cache=tmp_path / "cache"))
    source = prepared.read("train")
    assert isinstance(source, PreparedImages)
    indices = torch.arange(len(source)).flip(0)
    expected = plain.read("train").gather(indices)
    remembered = [RememberedImages(plain.read("train")) for _ in range(2)]  # type: ignore[arg-type]
    held = remembered[0], remembered[1].all(), source, source.all()
    for images, targets in (each.gather(indices) for each in held):
        assert torch.equal(images, expected[0])
        assert targets is not None and expected[1] is not None
        assert targets.dtype == expected[1].dtype == (torch.uint8 if kind == "mask" else torch.uint16)
        assert (targets.numpy() == expected[1].numpy()).all()
        assert targets.stride() == expected[1].stride()
    target = prepared.specification.target
    assert isinstance(target, Mask if kind == "mask" else TargetImage)
    assert list(target.faults(expected[1])) == []  # type: ignore[arg-type]


def test_classes_may_have_any_values_and_one_is_ignored(tmp_path: Path) -> None:
    mask = numpy.array([[0, 0, 255, 255], [0, 0, 7, 7]], numpy.uint8).repeat(4, 0)
    write(tmp_path / "images" / "a.png", mask)
    write(tmp_path / "targets" / "a.png", mask)
    datamodule = made(tmp_path, classes={"road": 255, "rest": 0}, ignored=7, image_size=(8, 4))
    _, masks = samples(datamodule)

    assert datamodule.specification.target == Mask(("road", "rest"), 255)
    assert masks[0, 0].tolist() == [1, 1, 0, 0]
    assert masks[0, 7].tolist() == [1, 1, 255, 255]


def test_a_palette_gives_its_indices_and_grey_in_colour_its_shade(tmp_path: Path) -> None:
    mask = classes_of(0, (16, 16))
    palette = Image.fromarray(mask)
    palette.putpalette([value for pixel in ((9, 9, 9), (200, 0, 0), (0, 200, 0)) for value in pixel])
    write(tmp_path / "images" / "a.png", mask)
    write(tmp_path / "images" / "b.png", mask)
    write(tmp_path / "images" / "c.png", mask)
    (tmp_path / "targets").mkdir()
    palette.save(tmp_path / "targets" / "a.png")
    palette.save(tmp_path / "targets" / "b.gif")
    Image.merge("RGB", [Image.fromarray(mask)] * 3).save(tmp_path / "targets" / "c.png")
    _, masks = samples(made(tmp_path, validation_fraction=0))

    assert torch.equal(masks, torch.from_numpy(mask).expand(3, 16, 16))


def test_everything_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_pairs(root, 6)
    mask = classes_of(0, (30, 40))
    write(root / "targets" / "00.png", mask[:20])
    write(root / "targets" / "01.png", classes_of(1, (31, 40)) * 40)
    write(root / "targets" / "02.png", numpy.stack([classes_of(2, (32, 40)) * 90] * 2 + [mask[:1].repeat(32, 0)], 2))
    write(root / "targets" / "03.png", numpy.full((33, 40), 999, numpy.uint16))
    (root / "targets" / "04.png").write_bytes(b"torn")
    told = refused(made(root), tmp_path / "cache")

    assert told.startswith(f"5 of 6 files in {root} can't be decoded: ")
    assert "images/00.png (has 40 x 30 pixels, but its target 00.png has 40 x 20, expected the same)" in told
    assert "images/01.png (has a target, 01.png, that has the values 40, 80, expected 0, 1, 2)" in told
    assert "images/02.png (has a target, 02.png, that is a picture in colour (RGB), expected one channel" in told
    assert "images/03.png (has a target, 03.png, that has values from 999 to 999, expected whole numbers" in told
    assert "images/04.png (has a target, 04.png, that can't be read as an image" in told
    skipping = made(root, on_bad_file="skip", validation_fraction=0)
    skipping.prepare(Reading(cache=tmp_path / "cache"))
    assert skipping.split_lengths["train"] == 1


def test_a_changed_target_is_decoded_anew(tmp_path: Path) -> None:
    write_pairs(tmp_path / "data", 3)
    reading = Reading(cache=tmp_path / "cache")
    made(tmp_path / "data").prepare(reading)
    write(tmp_path / "data" / "targets" / "01.png", numpy.full((31, 40), 2, numpy.uint8))
    datamodule = made(tmp_path / "data", validation_fraction=0)
    datamodule.prepare(reading)

    assert len(list((tmp_path / "cache").glob("*.samples"))) == 2
    assert (samples(datamodule)[1][1] == 2).all()


def test_a_number_of_classes_names_them_by_their_pixel_values(tmp_path: Path) -> None:
    assert made(tmp_path, classes=3).specification.target == Mask(("0", "1", "2"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"classes": []}, "classes: got none, expected the names"),
        ({"classes": ["a", "a"]}, 'classes: got "a" twice'),
        ({"classes": 257}, "classes: got 257, expected 256 at most"),
        ({"classes": {"a": 0, "b": 300}}, "classes: got the pixel values [0, 300]"),
        ({"ignored": 1}, "ignored: got 1, which is the class sea"),
        ({"splits": {"test": "a"}}, "splits: got .*, expected a folder for train"),
        ({"targets": "images"}, "targets: got .*, the folder of the images"),
        ({"value_range": (5, 1)}, "value_range: got .5, 1., expected the smaller"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told.replace("[", r"\[")):
        made(tmp_path, **settings)
