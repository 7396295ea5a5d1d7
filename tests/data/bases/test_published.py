"""Published data sets: their files, their splits, and what is said where files are missing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy
import pytest
import torch

from firebox.data.bases.datamodule import Split
from firebox.data.bases.published import PublishedImages
from firebox.data.cifar10 import CIFAR10
from firebox.data.containers.idx import FILES, write_idx
from firebox.data.declarations.data_error import DataError
from firebox.data.fashion_mini import FashionMini
from firebox.data.fashion_mnist import FashionMNIST
from firebox.data.mnist import MNIST
from firebox.data.sources.reading import Reading

DEBIAN = Path(str(FashionMNIST.package_root))
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def _write_mnist(folder: Path, *, packed: bool = True) -> None:
    """Writes a data set of MNIST's size whose image k holds k in its first two pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in zip(FILES, (60000, 60000, 10000, 10000), strict=True):
        numbers = numpy.arange(count)
        if "labels" in name:
            array = numbers % 10
        else:
            array = numpy.zeros((count, 28, 28), numpy.uint8)
            array[:, 0, 0], array[:, 0, 1] = numbers // 256, numbers % 256
        write_idx(folder / (name if packed else name.removesuffix(".gz")), array)


def _numbers(images: torch.Tensor) -> torch.Tensor:
    return images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()


@pytest.fixture(scope="module")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("mnist")
    _write_mnist(root)
    return str(root)


def test_splits_are_disjoint_and_together_are_the_training_part(mnist_root: str) -> None:
    datamodule = MNIST(root=mnist_root, validation_fraction=0.25)
    train, validation = (set(_numbers(datamodule.read(split).images).tolist()) for split in ("train", "validation"))

    assert not train & validation
    assert train | validation == set(range(60000))
    assert len(validation) == 15000


def test_splits_depend_on_the_split_seed_alone(mnist_root: str) -> None:
    def held_out(split_seed: int) -> list[int]:
        return _numbers(MNIST(root=mnist_root, split_seed=split_seed).read("validation").images).tolist()

    first = held_out(0)
    torch.manual_seed(1)
    assert held_out(0) == first
    assert held_out(1) != first


def test_the_test_part_is_untouched_by_the_split(mnist_root: str) -> None:
    test = MNIST(root=mnist_root, validation_fraction=0.5).read("test")

    assert _numbers(test.images).tolist() == list(range(10000))
    assert test.labels is not None
    assert test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


@pytest.mark.parametrize("pixel_range", ["[0,1]", "[-1,1]", "standardised"])
def test_what_is_declared_is_what_is_read(pixel_range: str) -> None:
    datamodule = FashionMini(pixel_range=pixel_range)  # type: ignore[arg-type]
    declared = datamodule.specification

    assert declared.pixel_range == pixel_range
    for split in SPLITS:
        source = datamodule.read(split)
        images, labels = source.gather(torch.arange(len(source)))
        assert len(source) == datamodule.split_lengths[split]
        assert images.dtype == torch.uint8
        assert images.shape[1:] == declared.shape
        assert labels is not None
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(len(declared.classes)))


def test_a_split_that_does_not_exist_can_not_be_read() -> None:
    datamodule = FashionMini(validation_fraction=0)

    assert datamodule.split_lengths["validation"] == 0
    with pytest.raises(DataError, match="fashion_mini: no validation split: validation_fraction is 0"):
        datamodule.read("validation")


def test_unpacked_files_are_read_too(tmp_path: Path) -> None:
    _write_mnist(tmp_path, packed=False)

    assert MNIST(root=str(tmp_path)).missing() is None
    assert len(MNIST(root=str(tmp_path)).read("train")) == 54000


def test_files_are_found_where_torchvision_puts_them(tmp_path: Path) -> None:
    _write_mnist(tmp_path / "MNIST" / "raw", packed=False)

    assert MNIST(root=str(tmp_path)).missing() is None
    assert len(MNIST(root=str(tmp_path)).read("test")) == 10000


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_is_found_and_is_standardised_by_its_moments() -> None:
    datamodule = FashionMNIST(validation_fraction=0, pixel_range="standardised")
    datamodule.prepare(Reading())
    source = datamodule.read("train")

    assert datamodule.missing() is None
    assert source.labels is not None
    assert torch.bincount(source.labels).tolist() == [6000] * 10
    pixels = source.images.float() / 255
    assert pixels.mean().item() == pytest.approx(datamodule.specification.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(datamodule.specification.std[0], abs=1e-4)


@pytest.mark.parametrize(
    ("datamodule", "name", "file"),
    [
        (FashionMNIST, "fashion_mnist", "train-images-idx3-ubyte.gz"),
        (MNIST, "mnist", "t10k-labels-idx1-ubyte.gz"),
        (CIFAR10, "cifar10", "cifar-10-batches-py/data_batch_5"),
    ],
)
def test_missing_files_are_named_with_every_way_out(
    datamodule: type[PublishedImages], name: str, file: str, tmp_path: Path
) -> None:
    instance = datamodule(root=str(tmp_path))  # type: ignore[call-arg]
    text = instance.missing()

    assert text is not None
    assert text.startswith(f"{name}: ")
    for part in (
        str(tmp_path),
        file,
        "https://",
        "--set datamodule.download=true",
        "'datamodule={name: fashion_mini}'",
    ):
        assert part in text
    with pytest.raises(DataError) as refused:
        instance.read("train")
    assert str(refused.value) == text


def test_only_the_files_that_are_absent_are_named(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", numpy.zeros(10000, numpy.uint8))
    text = MNIST(root=str(tmp_path)).missing()

    assert text is not None
    assert text.startswith("mnist: 3 of 4 files are missing")
    assert "t10k-labels" not in text


def test_with_download_nothing_counts_as_missing_beforehand(tmp_path: Path) -> None:
    assert MNIST(root=str(tmp_path / "absent"), download=True).missing() is None
    assert not (tmp_path / "absent").exists()


def test_a_failed_download_is_one_clear_error(tmp_path: Path) -> None:
    """A file stands where the folder would go, so the download fails with and without a network."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(
        DataError, match=r"cifar10: 7 of 7 files are missing .* Downloading them failed: .*taken"
    ) as error:
        CIFAR10(root=str(tmp_path / "taken"), download=True).read("train")
    assert "download=true" not in str(error.value)


def test_files_of_another_data_set_are_refused(tmp_path: Path) -> None:
    for name, shape in zip(FILES, ((5, 20, 20), (5,), (5, 28, 28), (4,)), strict=True):
        write_idx(tmp_path / name, numpy.zeros(shape, numpy.uint8))

    with pytest.raises(DataError, match=r"mnist: the train images are \(5, 1, 20, 20\), expected \(60000, 1, 28, 28\)"):
        MNIST(root=str(tmp_path)).read("train")
    with pytest.raises(DataError, match=r"the test images are \(5, 28, 28\) and the labels \(4,\)"):
        MNIST(root=str(tmp_path)).read("test")


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    _write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", numpy.full(10000, 10, numpy.uint8))

    with pytest.raises(DataError, match="mnist: the test labels reach 10, expected 0 to 9"):
        MNIST(root=str(tmp_path)).read("test")


def _write_cifar(folder: Path) -> None:
    """Writes files in CIFAR-10's format; image k of each is filled with (0, k % 256, 255)."""
    folder.mkdir()
    pixels = numpy.zeros((10000, 3, 1024), numpy.uint8)
    pixels[:, 1] = (numpy.arange(10000) % 256)[:, None]
    pixels[:, 2] = 255
    batch = {"data": pixels.reshape(10000, 3072), "labels": [k % 10 for k in range(10000)]}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.classes)}))


def test_a_cifar_file_that_is_not_as_published_is_not_opened(tmp_path: Path) -> None:
    _write_cifar(tmp_path / "cifar-10-batches-py")

    assert CIFAR10(root=str(tmp_path)).missing() is None
    with pytest.raises(DataError, match=r"cifar10: a file in .*cifar-10-batches-py is not as published"):
        CIFAR10(root=str(tmp_path)).read("test")


def test_cifar_images_come_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    _write_cifar(tmp_path / "cifar-10-batches-py")
    no_checksums = [[name, None] for name, _ in torchvision.datasets.CIFAR10.train_list]
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", no_checksums)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setitem(torchvision.datasets.CIFAR10.meta, "md5", None)

    source = CIFAR10(root=str(tmp_path), validation_fraction=0).read("train")

    assert len(source) == 50000
    assert source.labels is not None
    images, labels = source.images[10007], source.labels[10007]
    assert images.shape == CIFAR10.shape
    assert labels == 7
    assert [channel.unique().tolist() for channel in images] == [[0], [7], [255]]
