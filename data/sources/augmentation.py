"""Random augmentation of whole batches by kornia, drawn for each image separately."""

from __future__ import annotations

import inspect
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from firebox.data.declarations.targets import Target

EXCLUDED = frozenset({"RandomDissolving", "RandomFisheye"})
"""The first downloads a diffusion model; the second takes tensors, which a configuration can't hold."""

UNFOLLOWED = frozenset({"random_elastic_transform", "random_thin_plate_spline"})
"""Those that move pixels in a way that kornia does not repeat on a mask."""


class Augmentation:
    """Applies kornia's random augmentations one after another and clamps the result to [0, 1].

    All random numbers come from torch's default generators.

    Args:
        entries: pairs of a name (kornia's class name in snake case) and the keyword arguments of that class, in which
            lists become tuples.

    Raises:
        ValueError: a name is unknown, or the class does not accept the arguments.
    """

    def __init__(self, entries: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        self._entries = entries
        self._steps = [_build(name, arguments) for name, arguments in entries]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Augments float32 images (N, C, H, W) in [0, 1]; returns new ones of the same shape and range."""
        import torch

        if not self._steps:
            return images
        with torch.no_grad():
            for step in self._steps:
                images = step(images)
            return images.clamp(0, 1)

    def together(
        self, images: torch.Tensor, targets: torch.Tensor, target: Target
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments images as a call does, and moves their spatial targets with them by the same draws.

        What changes an image's intensities leaves the targets as they are.

        Args:
            images: float32 (N, C, H, W) in [0, 1].
            targets: the images' targets as they were read.
            target: what the targets are.

        Returns:
            The images, and the targets in the form that modules take.
        """
        # kornia looks into Pillow if it is imported, and a thread that is to write a picture may be half done with it.
        import PIL.Image  # noqa: F401
        import torch
        from kornia.augmentation import AugmentationSequential

        key = "mask" if target.kind == "mask" else "image"
        with torch.no_grad():
            moving = target.movable(targets)
            for step in self._steps:
                if _moves(step):
                    images, moving = AugmentationSequential(step, data_keys=["input", key])(images, moving)
                else:
                    images = step(images)
            return images.clamp(0, 1), target.moved(moving)

    def check(self, shape: tuple[int, int, int], target: Target | None = None) -> None:
        """Runs every augmentation on a few images with probability 1; torch's generators are left unchanged.

        Args:
            shape: (C, H, W) of the images to augment.
            target: what the images' targets are; None if they have none.

        Raises:
            ValueError: an augmentation can't process such images, changes their shape, or can't move their targets.
        """
        import torch

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            images = torch.rand(2, *shape)
            for name, arguments in self._entries:
                step = _build(name, {**arguments, "p": 1.0})
                try:
                    result = step(images)
                except Exception as error:  # kornia and torch raise all kinds here
                    raise ValueError(
                        f"augmentation {name}: can't work on images of shape {shape}: {_one_line(error)}"
                    ) from error
                if result.shape != images.shape:
                    raise ValueError(
                        f"augmentation {name}: makes images of shape {tuple(result.shape[1:])} from {shape}, "
                        "expected the shape to stay"
                    )
                if target is not None and target.spatial and name in UNFOLLOWED:
                    raise ValueError(
                        f"augmentation {name}: moves pixels, and kornia can't move {target.described} along; "
                        "expected another, such as random_affine"
                    )


def _moves(step: object) -> bool:
    """Whether an augmentation moves pixels, rather than changing their intensities."""
    from kornia.augmentation import GeometricAugmentationBase2D

    return isinstance(step, GeometricAugmentationBase2D)


def names() -> tuple[str, ...]:
    """Returns the names of all augmentations."""
    return tuple(_classes())


def _classes() -> dict[str, type]:
    """Returns kornia's random augmentations that take images (N, C, H, W) alone and don't affect labels."""
    import kornia.augmentation
    from kornia.augmentation._2d.base import AugmentationBase2D

    found = {}
    for name in sorted(kornia.augmentation.__all__):
        member = getattr(kornia.augmentation, name)
        random = name.startswith(("Random", "Color")) and name not in EXCLUDED
        if random and inspect.isclass(member) and issubclass(member, AugmentationBase2D):
            found[_snake_case(name)] = member
    return found


def _build(name: str, arguments: dict[str, Any]) -> Any:
    classes = _classes()
    if name not in classes:
        close = get_close_matches(name, classes, n=1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        raise ValueError(f'unknown augmentation "{name}"; {hint}known: {", ".join(classes)}')
    parameters = inspect.signature(classes[name]).parameters
    for key in arguments:
        if key not in parameters:
            close = get_close_matches(key, parameters, n=1)
            hint = f'did you mean "{close[0]}"? ' if close else ""
            raise ValueError(f'augmentation {name}: unknown key "{key}"; {hint}known: {", ".join(parameters)}')
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f'augmentation {name}: "{key}" is missing; it has: {", ".join(parameters)}')
    try:
        step = classes[name](**{key: _as_tuple(value) for key, value in arguments.items()})
    except Exception as error:  # kornia raises all kinds here
        raise ValueError(f"augmentation {name}: {_one_line(error)}") from error
    return step


def _snake_case(name: str) -> str:
    """RandomHorizontalFlip -> random_horizontal_flip, RandomRGBShift -> random_rgb_shift."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
