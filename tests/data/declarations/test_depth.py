"""Images of 16 bits, of floating point numbers and of four channels: kept as they are, or refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.declarations.data_error import DataError
from firebox.data.image_folder import ImageFolder
from firebox.data.preparation.prepared import PreparedImages
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import RememberedImages

DEPTHS = {"png": numpy.uint16, "tif": numpy.uint16, "tiff": numpy.float32}


def deep(seed: int, dtype: type, most: float = 4095, size: tuple[int, int] = (11, 9)) -> numpy.ndarray:
    values = numpy.random.default_rng(seed).random(size) * most
    return values.astype(dtype)


def write(path: Path, pixels: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def first(datamodule: ImageFolder) -> torch.Tensor:
    return datamodule.read("train").gather(torch.tensor([0]))[0]


@pytest.mark.parametrize("suffix", DEPTHS)
def test_an_image_of_the_right_size_keeps_every_bit(suffix: str, tmp_path: Path) -> None:
    pixels = deep(0, DEPTHS[suffix], 4095 if suffix != "tiff" else 1)
    write(tmp_path / f"a.{suffix}", pixels)
    image = first(ImageFolder(root=str(tmp_path), image_size=(11, 9), color="grayscale"))

    assert image.dtype == getattr(torch, pixels.dtype.name)
    assert (image[0, 0].numpy() == pixels).all()
    assert (first(ImageFolder(root=str(tmp_path), image_size=(11, 9)))[0, 2].numpy() == pixels).all()


@pytest.mark.parametrize("suffix", DEPTHS)
def test_wherever_they_are_held_samples_are_equal_bit_by_bit(suffix: str, tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / "images" / f"{number}.{suffix}", deep(number, DEPTHS[suffix], 1000, (30, 20 + number)))

    def made() -> ImageFolder:
        return ImageFolder(root=str(tmp_path / "images"), image_size=(8, 8), value_range=(0, 1000))

    prepared = made()
    prepared.prepare(Reading(workers=1, cache=tmp_path / "cache"))
    source = prepared.read("train")
    assert isinstance(source, PreparedImages)
    indices = torch.arange(len(source))
    streamed = made().read("train").gather(indices)[0]
    remembered = [RememberedImages(made().read("train")) for _ in range(2)]  # type: ignore[arg-type]
    for images in (
        remembered[0].gather(indices)[0],
        remembered[1].all().gather(indices)[0],
        source.gather(indices)[0],
        source.all().gather(indices)[0],
    ):
        assert images.dtype == streamed.dtype == getattr(torch, DEPTHS[suffix].__name__)
        assert (images.contiguous().numpy() == streamed.contiguous().numpy()).all()


def test_the_declared_range_is_what_the_model_sees_as_0_and_1(tmp_path: Path) -> None:
    write(tmp_path / "a.png", numpy.full((8, 8), 4095, numpy.uint16))
    datamodule = ImageFolder(root=str(tmp_path), image_size=(8, 8), value_range=(0, 4095))

    assert (datamodule.specification.as_unit(first(datamodule)) == 1).all()
    assert ImageFolder(root=str(tmp_path)).specification.as_unit(first(datamodule)).max() < 0.07


@pytest.mark.parametrize(
    ("pixels", "suffix", "settings", "told"),
    [
        (numpy.full((8, 8), 5000, numpy.uint16), "png", {"value_range": (0, 4095)}, "from 5000 to 5000, expected 0 to"),
        (numpy.full((8, 8), 200, numpy.uint8), "png", {"value_range": (0, 100)}, "from 200 to 200, expected 0 to 100"),
        (numpy.full((8, 8), 255.0, numpy.float32), "tif", {}, "from 255 to 255, expected 0 to 1: declare the value_ra"),
        (numpy.full((8, 8), numpy.nan, numpy.float32), "tif", {}, "from nan to nan, expected 0 to 1"),
        (numpy.full((8, 8), 7, numpy.int32), "tif", {}, "has 32-bit integers, expected 8 or 16 bits"),
        (numpy.full((8, 8), 0.5, numpy.float32), "tif", {"dtype": "uint8"}, "has 32-bit floating point numbers, expe"),
    ],
)
def test_values_that_are_not_declared_are_refused_by_name(
    pixels: numpy.ndarray, suffix: str, settings: dict, told: str, tmp_path: Path
) -> None:
    write(tmp_path / "images" / f"a.{suffix}", pixels)
    datamodule = ImageFolder(root=str(tmp_path / "images"), image_size=(8, 8), **settings)
    with pytest.raises(DataError) as refused:
        datamodule.prepare(Reading(cache=tmp_path / "cache"))

    assert f"a.{suffix} (" in str(refused.value)
    assert told in str(refused.value)


def test_images_of_other_depths_than_the_first_are_refused_or_converted(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png", numpy.full((8, 8), 100, numpy.uint8))
    write(tmp_path / "images" / "b.png", numpy.full((8, 8), 100 * 257, numpy.uint16))
    Image.fromarray(numpy.full((8, 8), 100, numpy.uint8)).save(tmp_path / "images" / "c.jpg")
    reading = Reading(cache=tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"1 of 3 files.*b.png \(has 16 bits, expected 8 bits.*dtype: uint8 converts it"
    ):
        ImageFolder(root=str(tmp_path / "images"), image_size=(8, 8)).prepare(reading)
    for dtype, value in (("uint8", 100), ("uint16", 100 * 257)):
        datamodule = ImageFolder(root=str(tmp_path / "images"), image_size=(8, 8), dtype=dtype, validation_fraction=0)  # type: ignore[arg-type]
        datamodule.prepare(reading)
        images = datamodule.read("train").gather(torch.arange(3))[0]
        assert images.dtype == getattr(torch, dtype)
        assert (images.int() == value).all()


def test_opacity_is_a_channel_if_it_is_asked_for(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 40)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "b.jpg", quality=100)
    datamodule = ImageFolder(root=str(tmp_path), image_size=(8, 8), color="rgba", validation_fraction=0)
    images = datamodule.read("train").gather(torch.arange(2))[0]

    assert datamodule.specification.shape == (4, 8, 8)
    assert images[0, :, 0, 0].tolist() == [10, 20, 30, 40]
    assert (images[1, 3] == 255).all()


def test_gif_jfif_and_tif_files_are_images_too(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), shade) for shade in (50, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    Image.new("L", (8, 8), 50).save(tmp_path / "b.jfif", "JPEG")
    Image.new("RGB", (8, 8), (50, 50, 50)).save(tmp_path / "c.TIF", "TIFF")
    images = ImageFolder(root=str(tmp_path), image_size=(8, 8), validation_fraction=0).read("train")

    assert len(images) == 3
    assert (images.gather(torch.arange(3))[0].float() - 50).abs().max() <= 1


def tiff(channels: int, bits: int) -> bytes:
    """Returns a TIFF of 8 by 8 zeros, uncompressed, whose channels beyond the third have no meaning."""
    pixels, extra, entries = bytes(64 * channels * bits // 8), max(channels - 3, 0), 11 if channels > 3 else 10
    begin = 8 + 2 + entries * 12 + 4
    lists = struct.pack(f"<{channels}H", *[bits] * channels) + bytes(2 * extra)
    tags = {
        256: (3, 1, 8),
        257: (3, 1, 8),
        258: (3, channels, begin if channels > 2 else bits),
        259: (3, 1, 1),
        262: (3, 1, 2 if channels > 2 else 1),
        273: (4, 1, begin + len(lists)),
        277: (3, 1, channels),
        278: (3, 1, 8),
        279: (4, 1, len(pixels)),
        284: (3, 1, 1),
    }
    if extra:
        tags[338] = (3, extra, begin + 2 * channels if extra > 2 else 0)
    listed = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + listed + bytes(4) + lists + pixels


@pytest.mark.parametrize(
    ("channels", "bits", "settings", "told"),
    [
        (13, 16, {}, "is no TIFF that Pillow reads, such as one of more than four channels"),
        (5, 8, {"color": "rgba"}, "has 5 channels, of which Pillow reads 3; expected color: rgb"),
        (5, 8, {}, None),
        (3, 8, {"color": "rgba"}, None),
    ],
)
def test_channels_that_pillow_does_not_read_are_refused(
    channels: int, bits: int, settings: dict, told: str | None, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tif").write_bytes(tiff(channels, bits))
    datamodule = ImageFolder(root=str(tmp_path / "images"), image_size=(8, 8), **settings)
    if told is None:
        assert not first(datamodule)[:, :3].any()
        return
    with pytest.raises(DataError) as refused:
        datamodule.prepare(Reading(cache=tmp_path / "cache"))
    assert told in str(refused.value)
