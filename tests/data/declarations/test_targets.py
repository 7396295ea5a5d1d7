"""Targets: declared, checked, prepared, and moved together with their images."""

import subprocess
import sys

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Classes, Labels, Mask, Values
from firebox.data.sources.augmentation import Augmentation
from firebox.data.sources.batch import Batch, Preparation
from firebox.data.sources.samples import faults_of_samples
from firebox.foundation.package import ROOT

SHAPE = (1, 16, 16)
CPU = torch.device("cpu")
MOVING = (
    ("random_horizontal_flip", {"p": 1.0}),
    ("random_rotation90", {"p": 1.0, "times": [1, 3]}),
    ("random_crop", {"p": 1.0, "size": [16, 16], "padding": 3}),
)
"""These move whole pixels."""


def images(count=6, channels=1):
    return torch.randint(0, 256, (count, channels, 16, 16), generator=torch.Generator().manual_seed(3)).byte()


@pytest.mark.parametrize("target", [Classes(("a", "b")), Labels(("a", "b", "c")), Values(("x", "y")), Mask(("a", "b"))])
def test_what_a_target_reads_like_has_no_faults(target):
    specification = ImageSpecification(SHAPE, target=target)
    assert not list(faults_of_samples(images(), target.zeros(6, SHAPE), specification))


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        (Classes(("a", "b")), torch.tensor([0, 2]), "it has the label 2, expected 0 to 1"),
        (Classes(("a", "b")), torch.tensor([[0], [1]]), "its targets have shape (1,), expected (): a class of 2"),
        (Labels(("a", "b")), torch.tensor([[0.0, 0.5]]), "its labels have values other than 0 and 1"),
        (Values(("x",)), torch.tensor([[float("nan")]]), "its values are not all finite numbers"),
        (Values(("x",)), torch.zeros(1, 1, dtype=torch.int64), "its targets are torch.int64, expected torch.float32"),
        (
            Mask(("a", "b"), 255),
            torch.full((1, 16, 16), 3).byte(),
            "its masks have the values 3; expected 0 to 1, or 255",
        ),
        (Mask(("a", "b")), torch.full((1, 16, 16), 255).byte(), "its masks have the values 255; expected 0 to 1"),
        (Mask(("a", "b")), torch.zeros(1, 8, 16).byte(), "its targets have shape (8, 16), expected (16, 16): a mask"),
        (
            TargetImage(ImageSpecification((3, 16, 16))),
            torch.zeros(1, 1, 16, 16).byte(),
            "its targets have shape (1, 16, 16), expected (3, 16, 16): an image",
        ),
    ],
)
def test_targets_that_are_not_what_they_are_declared_to_be_are_named(target, given, message):
    specification = ImageSpecification(SHAPE, target=target)
    assert message in "; ".join(faults_of_samples(images(len(given)), given, specification))


def test_classes_and_a_target_of_classes_are_the_same():
    assert ImageSpecification(SHAPE, classes=("a", "b")) == ImageSpecification(SHAPE, target=Classes(("a", "b")))
    assert ImageSpecification(SHAPE, target=Mask(("a", "b"))).classes == ()


@pytest.mark.parametrize("ignored", [None, 255])
def test_a_mask_moves_with_its_image_pixel_by_pixel(ignored):
    """The image is made of the mask's own values, so that after the same moves both are still equal."""
    mask = torch.randint(0, 5, (6, 16, 16), generator=torch.Generator().manual_seed(3)).byte()
    specification = ImageSpecification(SHAPE, target=Mask(tuple("abcde"), ignored))
    prepare = Preparation(specification, CPU, augmentation=Augmentation(MOVING))
    torch.manual_seed(5)
    # 0 is what comes from outside, so the image's own values are one more.
    moved = prepare(Batch((mask + 1).unsqueeze(1), mask, torch.arange(6)))
    values = (moved.images * 255).round().long().squeeze(1)
    inside = values > 0
    assert 0.3 < inside.float().mean() < 1
    assert torch.equal(moved.targets[inside], values[inside] - 1)
    assert set(moved.targets[~inside].tolist()) == {ignored or 0}
    assert moved.targets.dtype == torch.int64


def test_a_target_image_moves_with_its_image_and_keeps_its_intensities():
    target = TargetImage(ImageSpecification(SHAPE, "[-1,1]"))
    specification = ImageSpecification(SHAPE, "[-1,1]", target=target)
    intensities = (*MOVING, ("random_gaussian_noise", {"p": 1.0, "std": 0.1}), ("random_brightness", {"p": 1.0}))
    pixels = images()
    results = []
    for steps in (MOVING, intensities):
        torch.manual_seed(5)
        results.append(Preparation(specification, CPU, augmentation=Augmentation(steps))(Batch(pixels, pixels, pixels)))
    plain, noisy = results
    assert torch.allclose(plain.images, plain.targets, atol=1e-6)
    assert torch.equal(plain.targets, noisy.targets)
    assert not torch.allclose(noisy.images, noisy.targets, atol=0.05)


def test_images_are_augmented_by_the_same_draws_with_and_without_a_mask():
    steps = (
        ("random_affine", {"degrees": 20.0, "p": 0.7}),
        ("random_gaussian_noise", {"p": 0.5}),
        ("random_erasing", {}),
    )
    pixels, mask = images(), torch.zeros(6, 16, 16).byte()
    results = []
    for target, targets in ((None, None), (Mask(("a", "b")), mask)):
        torch.manual_seed(5)
        prepare = Preparation(ImageSpecification(SHAPE, target=target), CPU, augmentation=Augmentation(steps))
        results.append(prepare(Batch(pixels, targets, torch.arange(6))).images)
    assert torch.equal(*results)


AUGMENT = """
import sys, torch
from firebox.data.sources.augmentation import Augmentation
from firebox.data.declarations.targets import Mask

sys.modules.pop("PIL.Image", None)
one = Augmentation((("random_horizontal_flip", {}),))
one.together(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4).byte(), Mask(("a", "b")))
assert hasattr(sys.modules["PIL.Image"], "Image")
"""


def test_pillow_is_imported_whole_before_kornia_looks_at_it():
    """In a process of its own: others would find Pillow twice."""
    done = subprocess.run([sys.executable, "-c", AUGMENT], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_an_augmentation_that_kornia_does_not_repeat_on_a_mask_is_refused():
    one = Augmentation((("random_elastic_transform", {}),))
    one.check(SHAPE, Classes(("a", "b")))
    with pytest.raises(ValueError, match="can't move a mask of 2 classes along"):
        one.check(SHAPE, Mask(("a", "b")))


@pytest.mark.parametrize(
    ("dtype", "value_range", "raw", "unit"),
    [
        (torch.uint8, None, 51, 0.2),
        (torch.uint16, None, 13107, 0.2),
        (torch.uint16, (0, 4095), 819, 0.2),
        (torch.float32, (-100.0, 400.0), 0.0, 0.2),
        (torch.uint8, (50, 100), 60, 0.2),
        (torch.float32, None, 0.2, 0.2),
    ],
)
def test_values_become_the_unit_range(dtype, value_range, raw, unit):
    specification = ImageSpecification(SHAPE, value_range=value_range)
    pixels = torch.full((2, *SHAPE), raw, dtype=dtype)
    assert not list(specification.faults(pixels))
    prepared = Preparation(specification, CPU)(Batch(pixels, None, torch.arange(2)))
    assert torch.allclose(prepared.images, torch.tensor(unit), atol=1e-6)


def test_values_beyond_the_declared_range_are_named():
    specification = ImageSpecification(SHAPE, value_range=(0, 4095))
    (fault,) = specification.faults(torch.full((1, *SHAPE), 5000, dtype=torch.uint16))
    assert "from 5000 to 5000, expected [0, 4095]" in fault
