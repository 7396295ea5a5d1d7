"""The embedded data set: balanced, whole, light to load."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from firebox.data import fashion_mini
from firebox.data.bases.datamodule import Split
from firebox.data.containers.idx import FILES, read_idx
from firebox.data.declarations.data_error import DataError
from firebox.data.fashion_mini import FOLDER, FashionMini
from firebox.data.fashion_mnist import FashionMNIST
from firebox.data.sources.reading import Reading

DEBIAN = Path(str(FashionMNIST.package_root))


def _digest(images: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes()).hexdigest()


def test_it_holds_600_training_and_100_test_images_of_each_class() -> None:
    datamodule = FashionMini(validation_fraction=0.0)

    assert datamodule.missing() is None
    counts: dict[Split, int] = {"train": 600, "test": 100}
    for split, count in counts.items():
        labels = datamodule.read(split).labels
        assert labels is not None
        assert torch.bincount(labels).tolist() == [count] * 10


@pytest.mark.parametrize("validation_fraction", [0.0, 0.5])
def test_standardised_means_the_mean_and_deviation_of_its_training_pixels(validation_fraction: float) -> None:
    datamodule = FashionMini(validation_fraction=validation_fraction, pixel_range="standardised")
    assert datamodule.specification.mean == (0.5,)
    datamodule.prepare(Reading())
    pixels = datamodule.read("train").images.double() / 255

    assert pixels.mean().item() == pytest.approx(datamodule.specification.mean[0], abs=1e-9)
    assert pixels.std(correction=0).item() == pytest.approx(datamodule.specification.std[0], abs=1e-9)


def test_loading_it_does_not_import_torchvision() -> None:
    program = (
        "import sys; from firebox.data.fashion_mini import FashionMini; assert 'torch' not in sys.modules; "
        "FashionMini().read('train'); assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=FOLDER.parents[2])


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_its_files_are_what_the_committed_script_builds(tmp_path: Path) -> None:
    from firebox.data.assets.build_fashion_mini import build

    build(DEBIAN, tmp_path)

    for name in FILES:
        assert (read_idx(tmp_path / name) == read_idx(FOLDER / name)).all()


def test_a_torn_asset_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path)
    torn = tmp_path / "train-images-idx3-ubyte.gz"
    torn.write_bytes(torn.read_bytes()[:100_000])
    monkeypatch.setattr(fashion_mini, "FOLDER", tmp_path)

    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: can't be read, the file may be torn"):
        FashionMini().read("train")


def test_a_missing_asset_is_named_before_and_at_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mini, "FOLDER", tmp_path)

    assert "t10k-labels-idx1-ubyte.gz missing in" in str(FashionMini().missing())
    with pytest.raises(DataError, match="the installation is not whole"):
        FashionMini().read("test")


def test_the_held_out_images_stay_the_same_between_releases() -> None:
    """A changed draw would silently mix validation images into the training of runs that are resumed."""
    labels = FashionMini().read("validation").labels

    assert labels is not None
    assert labels[:12].tolist() == [5, 3, 0, 4, 6, 5, 4, 5, 7, 8, 4, 5]
    assert _digest(FashionMini().read("validation").images)[:16] == "7e794856e117c0df"
