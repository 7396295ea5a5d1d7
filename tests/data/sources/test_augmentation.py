"""Random augmentation: addressed by torch's seed, one draw an image, refused early where it can't work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from firebox.data.sources.augmentation import Augmentation, names

ROOT = Path(__file__).parents[3]
COLOR_ONLY = (
    "random_hue", "random_jpeg", "random_planckian_jitter", "random_rgb_shift", "random_saturation", "random_snow",
)  # fmt: skip
ARGUMENTS: dict[str, dict[str, Any]] = {
    "random_affine": {"degrees": 10},
    "random_crop": {"size": [28, 28], "padding": 2},
    "random_gaussian_blur": {"kernel_size": [3, 3], "sigma": [0.1, 2.0]},
    "random_motion_blur": {"kernel_size": 3, "angle": 10.0, "direction": 0.5},
    "random_resized_crop": {"size": [28, 28]},
    "random_rotation": {"degrees": 10},
    "random_rotation90": {"times": [0, 3]},
    "random_shear": {"shear": 0.2},
}


def _copies(count: int = 16, channels: int = 1) -> torch.Tensor:
    """The same image many times."""
    image = torch.rand((1, channels, 28, 28), generator=torch.Generator().manual_seed(0))
    return image.expand(count, -1, -1, -1).contiguous()


def test_each_image_has_a_draw_of_its_own() -> None:
    torch.manual_seed(0)
    images = Augmentation((("random_crop", {"size": [28, 28], "padding": 4}),))(_copies())

    assert len({tuple(image.flatten().tolist()) for image in images}) > 8


def test_the_draws_are_a_function_of_torchs_seed() -> None:
    augmentation = Augmentation((("random_horizontal_flip", {"p": 0.5}), ("random_affine", {"degrees": 30})))

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return augmentation(_copies())

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("name", names())
def test_every_augmentation_keeps_shape_range_and_dtype_and_repeats(name: str) -> None:
    augmentation = Augmentation(((name, ARGUMENTS.get(name, {})),))
    images = _copies(channels=3)
    torch.manual_seed(1)
    first = augmentation(images)
    torch.manual_seed(1)
    again = augmentation(images)

    augmentation.check((3, 28, 28))
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)


def test_the_input_is_not_changed() -> None:
    images = _copies()
    Augmentation((("random_erasing", {"p": 1.0}), ("random_gaussian_noise", {"p": 1.0})))(images)

    assert torch.equal(images, _copies())


def test_noise_is_cut_to_the_range() -> None:
    images = Augmentation((("random_gaussian_noise", {"std": 5.0, "p": 1.0}),))(_copies())

    assert images.min() == 0
    assert images.max() == 1


def test_no_entries_return_the_images_and_import_nothing() -> None:
    images = _copies()
    program = (
        "import sys; from firebox.data.sources.augmentation import Augmentation; Augmentation(()).check((1, 8, 8)); "
        "assert 'kornia' not in sys.modules"
    )

    assert Augmentation(())(images) is images
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            ("random_horizontl_flip", {}),
            r'unknown augmentation "random_horizontl_flip"; did you mean "random_horizontal_',
        ),
        (("mixup", {}), r'unknown augmentation "mixup"; .*known: color_jiggle, color_jitter, random_affine'),
        (("normalize", {"mean": 0.5, "std": 0.5}), 'unknown augmentation "normalize"'),
        (
            ("random_affine", {"degree": 3}),
            r'random_affine: unknown key "degree"; did you mean "degrees"\? known: degrees,',
        ),
        (("random_affine", {}), r'random_affine: "degrees" is missing; it has: degrees, translate'),
        (("random_affine", {"degrees": "much"}), "augmentation random_affine: "),
    ],
)
def test_what_kornia_does_not_take_is_refused(entry: tuple[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation((entry,))


def test_check_refuses_a_change_of_shape_at_any_probability() -> None:
    augmentation = Augmentation((("random_horizontal_flip", {}), ("random_crop", {"size": [20, 24], "p": 0.001})))

    with pytest.raises(ValueError, match=r"random_crop: makes images of shape \(1, 20, 24\) from \(1, 28, 28\)"):
        augmentation.check((1, 28, 28))


@pytest.mark.parametrize("name", COLOR_ONLY)
def test_check_refuses_what_needs_colors_on_gray_images(name: str) -> None:
    with pytest.raises(ValueError, match=rf"augmentation {name}: can't work on images of shape \(1, 28, 28\): \w"):
        Augmentation(((name, {}),)).check((1, 28, 28))


@pytest.mark.parametrize("name", sorted(set(names()) - set(COLOR_ONLY)))
def test_check_accepts_what_works_on_gray_images(name: str) -> None:
    Augmentation(((name, ARGUMENTS.get(name, {})),)).check((1, 28, 28))


def test_check_leaves_torchs_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    Augmentation((("random_gaussian_noise", {}),)).check((1, 28, 28))

    assert torch.equal(torch.get_rng_state(), before)
