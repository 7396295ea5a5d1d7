"""Standardised: the real mean and deviation of the training images, whoever reads them."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import firebox.data.bases.moments as moments
from firebox.data.declarations.data_error import DataError
from firebox.data.image_folder import ImageFolder
from firebox.data.sources.reading import Reading
from firebox.foundation.problems import Interrupted
from tests.data.folders_of_images import write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", 40)
    return tmp_path / "images"


def made(folder: Path, reading: Reading, **settings: object) -> ImageFolder:
    settings = {"pixel_range": "standardised", "image_size": (16, 16), "validation_fraction": 0.3, **settings}
    datamodule = ImageFolder(root=str(folder), **settings)  # type: ignore[arg-type]
    datamodule.prepare(reading)
    return datamodule


def everything(datamodule: ImageFolder) -> torch.Tensor:
    return datamodule.read("train").gather(torch.arange(datamodule.split_lengths["train"]))[0]


def test_the_training_images_have_mean_0_and_deviation_1(folder: Path, tmp_path: Path) -> None:
    datamodule = made(folder, Reading(cache=tmp_path / "cache"))
    specification = datamodule.specification
    seen = specification.from_unit(specification.as_unit(everything(datamodule))).double()

    assert seen.mean((0, 2, 3)).abs().max() < 1e-5
    assert (seen.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert specification.mean != (0.5,) * 3  # the negative control: not what stands there beforehand


def test_moments_do_not_depend_on_who_reads(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {made(folder, Reading()).moments, made(folder, Reading(cache=tmp_path / "cache")).moments}
    monkeypatch.setattr(moments, "FEW", 1)
    monkeypatch.setattr(moments, "TOGETHER", 3)
    seen: list[tuple[str, int, int]] = []
    reading = Reading(workers=2, progress=lambda *told: seen.append(told))
    found.add(made(folder, reading).moments)

    assert len(found) == 1
    assert [told for told in seen if told[0] == "samples measured"][-1] == ("samples measured", 28, 28)
    assert made(folder, Reading(), split_seed=1).moments not in found


def test_they_are_kept_beside_the_samples(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(cache=tmp_path / "cache")
    first, other = made(folder, reading).moments, made(folder, reading, split_seed=1).moments
    kept = list((tmp_path / "cache").glob(f"*{moments.SUFFIX}"))
    assert len(kept) == 2
    measured = moments.moments_of
    monkeypatch.setattr(moments, "moments_of", lambda *_: pytest.fail("measured again"))
    assert (made(folder, reading).moments, made(folder, reading, split_seed=1).moments) == (first, other)

    monkeypatch.setattr(moments, "moments_of", measured)
    for path in kept:
        path.write_text(path.read_text().replace("0.", "0.1", 1))
    assert made(folder, reading).moments == first


def test_images_of_16_bits_are_measured_in_their_range(tmp_path: Path) -> None:
    for number in range(3):
        pixels = numpy.full((8, 8), number * 1000, numpy.uint16)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    settings = {"color": "grayscale", "validation_fraction": 0, "image_size": (8, 8), "value_range": (0, 4000)}
    found = made(tmp_path / "images", Reading(), **settings).moments

    assert found is not None
    assert found.mean == (0.25,)
    assert found.std[0] == pytest.approx((2 / 3) ** 0.5 / 4, abs=1e-12)


def test_a_channel_without_deviation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"pixel_range: got standardised, but channel 0, 1, 2 has the same value"):
        made(tmp_path / "images", Reading())


def test_a_stop_ends_the_measuring(folder: Path) -> None:
    with pytest.raises(Interrupted):
        made(folder, Reading(stopping=lambda: True))
