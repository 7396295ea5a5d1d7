"""JPEG files decoded at a reduced scale: to what pixels, and by whom."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image, ImageOps

from firebox.data.decoding import jpeg
from firebox.data.decoding.decoding import ImageDecoder
from tests.data.folders_of_images import picture


@pytest.fixture(params=["simplejpeg", "Pillow"])
def _by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    monkeypatch.setattr(jpeg, "WITH_SIMPLEJPEG", request.param == "simplejpeg")


def plainly(path: Path, image_size: tuple[int, int], mode: str) -> torch.Tensor:
    """Decodes the whole image."""
    with Image.open(path) as opened:
        image = ImageOps.fit(ImageOps.exif_transpose(opened).convert(mode), image_size[::-1], Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(numpy.array(image))
    return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels.unsqueeze(0)


def difference(left: torch.Tensor, right: torch.Tensor) -> float:
    assert left.shape == right.shape
    return float((left.int() - right.int()).abs().float().mean())


@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_scale_gives_almost_the_same_pixels(tmp_path: Path, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    picture(0, (400, 300)).save(path, quality=95, exif=exif)
    image = jpeg.read_jpeg(path, (32, 48), mode)

    assert image is not None
    assert difference(image, plainly(path, (32, 48), mode)) < 2
    turned = jpeg.read_jpeg(path, (32, 48), mode)
    assert turned is not None
    assert difference(turned.flip(-1), plainly(path, (32, 48), mode)) > 5  # the control: another image differs


@pytest.mark.parametrize("size", [(500, 375), (501, 377), (96, 64), (95, 63), (64, 64), (33, 50), (1, 9), (1030, 259)])
@pytest.mark.parametrize("quality", [95, 60])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_simplejpeg_and_pillow_give_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], quality: int, mode: str
) -> None:
    pytest.importorskip("simplejpeg")
    path = tmp_path / "a.jpg"
    for image, progressive in ((picture(1, size), False), (picture(2, size).convert("L"), True)):
        image.save(path, quality=quality, progressive=progressive)
        found = []
        for by in (True, False):
            monkeypatch.setattr(jpeg, "WITH_SIMPLEJPEG", by)
            found.append(jpeg.read_jpeg(path, (32, 16), mode))
        assert found[0] is not None and found[1] is not None
        assert torch.equal(found[0], found[1])


@pytest.mark.usefixtures("_by")
def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture(3, (24, 16)).save(path)
    assert torch.equal(ImageDecoder((16, 24), "rgb")(path), plainly(path, (16, 24), "RGB"))


@pytest.mark.usefixtures("_by")
def test_what_is_no_plain_jpeg_file_is_left_to_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture(4, (64, 64)).convert("CMYK").save(path)
    assert jpeg.read_jpeg(path, (16, 16), "RGB") is None
    assert difference(ImageDecoder((16, 16), "rgb")(path), plainly(path, (16, 16), "RGB")) == 0
    picture(4, (64, 64)).save(path, "PNG")
    assert jpeg.read_jpeg(path, (16, 16), "RGB") is None
    picture(4, (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert jpeg.read_jpeg(path, (16, 16), "RGB") is None


@pytest.mark.usefixtures("_by")
def test_threads_change_no_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture(5, (700, 500)).save(path)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(ImageDecoder((200, 300), "rgb")(path))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize("size", [(700, 500), (40, 90)])
def test_pixels_lie_in_the_order_in_which_samples_are_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.jpg"
    picture(6, size).save(path)
    image = jpeg.read_jpeg(path, (20, 30), "RGB")
    assert image is not None
    assert image.permute(1, 2, 0).is_contiguous()
    assert difference(image, plainly(path, (20, 30), "RGB")) < 3
