"""Generated shapes: a pure function of (seed, split, index), drawn a batch at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from firebox.data.shapes import CLASSES, Shapes
from firebox.data.sources.samples import faults_of_samples


@pytest.mark.parametrize("image_size", [(32, 32), (33, 19)])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_a_sample_does_not_depend_on_the_batch_it_is_drawn_in(image_size: tuple[int, int], color: Any) -> None:
    shapes = Shapes(image_size=image_size, color=color)
    indices = torch.tensor([5, 0, 123_456_789_012, 77, 3, 9, 10, 8, 41, 2, 64, 1000, 31])
    images, labels = shapes.sample("train", indices)

    for row, index in enumerate(indices):
        image, label = shapes.sample("train", index.view(1))
        assert torch.equal(image[0], images[row])
        assert label[0] == labels[row]


def test_drawing_consumes_no_randomness_and_heeds_none() -> None:
    shapes, indices = Shapes(), torch.arange(16)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = shapes.sample("train", indices)[0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(shapes.sample("train", indices)[0], first)


def test_seed_split_and_index_each_give_other_samples() -> None:
    indices = torch.arange(64)
    first = Shapes(seed=0).sample("train", indices)[0]
    others = (
        Shapes(seed=1).sample("train", indices)[0],
        Shapes(seed=0).sample("validation", indices)[0],
        Shapes(seed=0).sample("train", indices + 64)[0],
    )
    for other in others:
        assert not (first == other).flatten(1).all(1).any()


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("grayscale", 1)])
@pytest.mark.parametrize("pixel_range", ["[0,1]", "[-1,1]", "standardised"])
def test_what_is_declared_is_what_is_read(color: Any, channels: int, pixel_range: Any) -> None:
    shapes = Shapes(image_size=(24, 40), color=color, pixel_range=pixel_range, test_length=50)
    source = shapes.read("test")
    images, labels = source.gather(torch.arange(50))

    assert len(source) == shapes.split_lengths["test"] == 50
    assert images.dtype == torch.uint8
    assert images.shape[1:] == shapes.specification.shape == (channels, 24, 40)
    assert shapes.specification.classes == CLASSES
    assert labels is not None
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) == {0, 1, 2}


def test_standardised_images_have_zero_mean_and_unit_variance() -> None:
    shapes = Shapes(color="rgb", pixel_range="standardised")
    images = shapes.specification.from_unit(shapes.sample("validation", torch.arange(2000))[0] / 255)

    assert images.mean((0, 2, 3)).abs().max() < 0.05
    assert (images.std((0, 2, 3)) - 1).abs().max() < 0.05


def test_each_training_epoch_draws_new_images_and_validation_keeps_its_own() -> None:
    shapes, indices = Shapes(train_length=10), torch.arange(10)
    train, validation = shapes.read("train"), shapes.read("validation")

    assert not torch.equal(train.gather(indices, epoch=0)[0], train.gather(indices, epoch=1)[0])
    assert torch.equal(train.gather(indices, epoch=1)[0], shapes.sample("train", indices + 10)[0])
    assert torch.equal(validation.gather(indices, epoch=0)[0], validation.gather(indices, epoch=1)[0])


def test_kinds_come_about_equally_often() -> None:
    labels = Shapes(image_size=(8, 8)).sample("train", torch.arange(30_000))[1]

    assert (torch.bincount(labels, minlength=3) - 10_000).abs().max() < 400


def test_shapes_are_whole_and_have_the_area_of_their_kind() -> None:
    """As shares of r * r, aspects being 0.5 to 1: a cut shape would have less."""
    shapes = Shapes(image_size=(64, 96), size=(0.8, 0.8), background=(0, 0), foreground=(1, 1))
    images, labels = shapes.sample("train", torch.arange(600))
    share = (images / 255).sum((1, 2, 3)) / (0.4 * 64) ** 2

    for kind, (smallest, largest) in enumerate(((torch.pi / 2, torch.pi), (1.6, 2.0), (0.8, 1.0))):
        found = share[labels == kind]
        assert found.min().item() == pytest.approx(smallest, rel=0.03)
        assert found.max().item() == pytest.approx(largest, rel=0.03)


def test_the_center_of_an_ellipse_is_covered() -> None:
    from firebox.data.shapes import _distance

    zero, radius, aspect = torch.zeros(1, 1, 1), torch.tensor([300.0]), torch.tensor([0.5])
    for offset in (0.0, 1e-20, 1e-6, 0.1, 100.0):
        assert _distance(zero + offset, zero, radius, aspect, torch.tensor([0])) < -0.5


def test_brightness_keeps_to_its_ranges() -> None:
    images, _ = Shapes(color="rgb", background=(0.1, 0.2), foreground=(0.7, 0.8)).sample("train", torch.arange(200))

    assert images.min() >= round(0.1 * 255)
    assert images.max() <= round(0.8 * 255)
    assert (images.flatten(2).amin(2) <= round(0.2 * 255)).all()
    assert (images.flatten(2).amax(2) >= round(0.7 * 255)).all()


@pytest.mark.parametrize("name", ["size", "background", "foreground"])
def test_a_range_the_wrong_way_round_is_refused(name: str) -> None:
    bounds: dict[str, Any] = {name: (0.8, 0.2)}
    with pytest.raises(ValueError, match=rf"shapes\.{name}: got \[0\.8, 0\.2\], expected the smaller value first"):
        Shapes(**bounds)


@pytest.mark.parametrize("image_size", [(32, 32), (33, 19)])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_a_mask_changes_no_image_and_depends_on_its_sample_alone(image_size: tuple[int, int], color: Any) -> None:
    indices = torch.tensor([5, 0, 123_456_789_012, 77, 3, 9, 10, 8])
    images, labels = Shapes(image_size=image_size, color=color).sample("train", indices)
    masked = Shapes(image_size=image_size, color=color, target="mask")
    again, masks = masked.sample("train", indices)

    assert torch.equal(images, again)
    assert masks.dtype == torch.uint8
    assert not list(faults_of_samples(again, masks, masked.specification))
    assert torch.equal(masks.flatten(1).amax(1), labels + 1)
    for row, index in enumerate(indices):
        assert torch.equal(masked.sample("train", index.view(1))[1][0], masks[row])


def test_a_mask_marks_the_pixels_whose_center_the_shape_covers() -> None:
    """Half a pixel's brightness or more, but where its center is on the outline itself."""
    settings: dict[str, Any] = {"image_size": (40, 56), "background": (0, 0), "foreground": (1, 1)}
    images, masks = Shapes(**settings, target="mask").sample("test", torch.arange(400))
    covered, outline = images.squeeze(1) >= 128, (images.squeeze(1) - 127.5).abs() < 2

    assert torch.equal((masks > 0)[~outline], covered[~outline])
    assert outline.float().mean() < 0.01
    # The test can tell: any other threshold marks other pixels.
    for threshold in (100, 155):
        assert not torch.equal((masks > 0)[~outline], (images.squeeze(1) >= threshold)[~outline])
