"""The pairs that the restoration baseline trains on: made by one command, alike wherever it runs."""

import hashlib
import shlex

import numpy
import pytest
import torch

from firebox.data.assets.make_pairs import NOISE, degraded, make
from firebox.data.declarations.target_image import TargetImage
from firebox.data.fashion_mini import FashionMini
from firebox.data.fashion_mini_pairs import FOLDER, FashionMiniPairs
from tests.exactness import run_python


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the command that is told for what is missing has been run."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arguments = command()
        assert run_python(*arguments).returncode == 0
    return place


@pytest.fixture
def folder(place):
    return place / FOLDER


def command():
    """The arguments of the command that makes what is missing here."""
    missing = FashionMiniPairs().missing()
    assert missing is not None and "there is no folder" in missing
    python, *arguments = shlex.split(missing.rpartition("make it: ")[2])
    assert python == "python"
    return arguments


def test_the_targets_are_images_of_fashion_mini_and_the_images_are_not(folder):
    pairs = FashionMiniPairs(root=str(folder))
    assert pairs.missing() is None
    assert pairs.specification.shape == (1, 28, 28)
    assert isinstance(pairs.specification.target, TargetImage)
    assert pairs.split_lengths == {"train": 2700, "validation": 300, "test": 1000}
    folds = {"count": 5, "index": 4}
    assert FashionMiniPairs(root=str(folder), folds=folds).split_lengths == {
        "train": 2400,
        "validation": 600,
        "test": 1000,
    }
    images, targets = pairs.read("test").gather(torch.arange(20))
    originals = FashionMini().read("test").images[:20]
    assert torch.equal(targets, originals)
    error = (images.float() - originals.float()).square().mean().sqrt()
    assert NOISE * 0.6 < error < NOISE


def test_the_pixels_are_always_the_same():
    images = numpy.arange(5 * 12 * 12, dtype=numpy.uint8).reshape(5, 12, 12)
    made = degraded(images, 7)
    assert (
        hashlib.sha256(made.tobytes()).hexdigest() == "911356940228864756662a530d2f90bffd312bb12c6318e7745faf94928cdb88"
    )
    assert numpy.array_equal(made, degraded(images, 7))
    assert not numpy.array_equal(made, degraded(images, 8))


def test_what_is_missing_is_told_with_the_command_that_makes_it(place, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = command()
    monkeypatch.chdir(place)
    assert FashionMiniPairs().missing() is None
    assert sum(path.is_file() for path in folder.rglob("*.png")) == 2 * 4000
    again = run_python(*arguments)
    assert again.returncode == 2
    assert (
        again.stderr.startswith("datasets/fashion_mini_pairs exists already; remove it")
        and again.stderr.count("\n") == 1
    )


def test_nothing_half_made_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("firebox.data.assets.make_pairs.degraded", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(tmp_path / "pairs")
    assert not list(tmp_path.iterdir())
