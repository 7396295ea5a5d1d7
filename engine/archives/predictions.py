"""What a model's output says of images: rows of a table and pictures, by the kind of output."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from firebox.data.declarations.targets import Mask
from firebox.data.decoding.decoding import cover
from firebox.engine.archives.archive import Archive
from firebox.foundation.files import naming
from firebox.foundation.pictures import encode, encode_mask, grid, mask_palette
from firebox.foundation.problems import Problem, Refusal

WORST = 16
"""Number of images in the picture of the worst reconstructions."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some images and the model's output for them.

    Args:
        places: path of each image's own files in the output, without a suffix.
        images: the images as the model sees them, (N, C, H, W).
        output: the model's output, (N, ...).
        sizes: (H, W) of each image before it was scaled; zeros where ``Predictions.sizes`` is false.
    """

    places: Sequence[str]
    images: torch.Tensor
    output: torch.Tensor
    sizes: Sequence[tuple[int, int]]


class Predictions(ABC):
    """Rows of a table and pictures of what a model predicts, in a folder.

    Args:
        archive: the archived model.
        folder: the folder.
    """

    sizes: ClassVar[bool] = False
    """Whether the images' own sizes are needed."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive = archive
        self.folder = folder

    @property
    @abstractmethod
    def columns(self) -> Sequence[str]:
        """The table's columns, beside the files' names."""

    @abstractmethod
    def rows(self, part: Part) -> list[list[str]]:
        """Returns the rows of some images, and writes their own files."""

    def finish(self) -> None:
        """Writes what is of all images."""

    @property
    def meaning(self) -> dict[str, str]:
        """What columns and pictures mean, where their names don't say it."""
        return {}

    def write(self, place: str, content: bytes) -> str:
        """Writes a picture; returns its path below the folder."""
        path = self.folder / f"{place}.png"
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return f"{place}.png"


class _OfNames(Predictions):
    """Predictions of a target that consists of names."""

    @property
    def names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self.archive.specification.target.names  # type: ignore[union-attr]
        return names


class ClassProbabilities(_OfNames):
    """The most probable class, its probability, and that of each class."""

    @property
    def columns(self) -> Sequence[str]:
        return ["class", "probability", *(f"p({name})" for name in self.names)]

    def rows(self, part: Part) -> list[list[str]]:
        shares = part.output.float().softmax(1).cpu()
        best = shares.argmax(1).tolist()
        return [
            [self.names[k], _number(own[k]), *map(_number, own)] for k, own in zip(best, shares.tolist(), strict=True)
        ]


class LabelProbabilities(_OfNames):
    """The labels that are more probable than not, and the probability of each."""

    @property
    def columns(self) -> Sequence[str]:
        return ["labels", *(f"p({name})" for name in self.names)]

    def rows(self, part: Part) -> list[list[str]]:
        found = []
        for own in part.output.float().sigmoid().cpu().tolist():
            likely = [name for name, share in zip(self.names, own, strict=True) if share >= 0.5]
            found.append(["; ".join(likely), *map(_number, own)])
        return found

    @property
    def meaning(self) -> dict[str, str]:
        return {"labels": "those whose probability is 0.5 or more"}


class PredictedValues(_OfNames):
    """Numbers, in the data's units."""

    @property
    def columns(self) -> Sequence[str]:
        return self.names

    def rows(self, part: Part) -> list[list[str]]:
        target: Any = self.archive.specification.target
        return [list(map(_number, own)) for own in target.in_units(part.output.float().flatten(1)).cpu().tolist()]


class PredictedMasks(_OfNames):
    """A mask of each image, of the image's own size, and the number of pixels of each class."""

    sizes = True

    def __init__(self, archive: Archive, folder: Path) -> None:
        super().__init__(archive, folder)
        target = archive.specification.target
        assert isinstance(target, Mask)
        self._outside = 0 if target.ignored is None else target.ignored
        self._palette = mask_palette(len(target.names), target.ignored)

    @property
    def columns(self) -> Sequence[str]:
        return ["mask", *(f"pixels({name})" for name in self.names)]

    def rows(self, part: Part) -> list[list[str]]:
        found = []
        for place, size, small in zip(part.places, part.sizes, part.output.argmax(1).byte().cpu(), strict=True):
            mask, seen = _placed(small, size, self._outside)
            counts = mask[seen].flatten().long().bincount(minlength=len(self.names)).tolist()
            file = self.write(f"masks/{place}", encode_mask(mask, self._palette))
            found.append([file, *map(str, counts)])
        return found

    @property
    def meaning(self) -> dict[str, str]:
        outside = f"what the model doesn't see of an image, as it is cropped, has the value {self._outside}"
        return {
            "mask": f"values are the numbers of the classes, in the image's own size, turned upright; {outside}",
            "pixels": "of the mask, without what the model doesn't see",
        }


class Images(Predictions):
    """An image for each image."""

    @property
    def columns(self) -> Sequence[str]:
        return ["image"]

    def rows(self, part: Part) -> list[list[str]]:
        module: Any = self.archive.module
        shown = module.goal.to_unit(module.pixels(part.output))
        return [[self.write(f"images/{place}", encode(own))] for place, own in zip(part.places, shown, strict=True)]


class Reconstructions(Predictions):
    """The error of each image's reconstruction, an anomaly score, and a picture of the worst.

    Args:
        archive: the archived model.
        folder: the folder.
        pictures: whether to write each reconstruction.
    """

    def __init__(self, archive: Archive, folder: Path, *, pictures: bool = False) -> None:
        super().__init__(archive, folder)
        self._pictures = pictures
        self._count = 0
        self._worst: list[tuple[float, int, torch.Tensor, torch.Tensor]] = []

    @property
    def columns(self) -> Sequence[str]:
        return ["error", "reconstruction"] if self._pictures else ["error"]

    def rows(self, part: Part) -> list[list[str]]:
        module: Any = self.archive.module
        specification = self.archive.specification
        images, shown = specification.to_unit(part.images), specification.to_unit(module.pixels(part.output))
        errors = (shown.double() - images).square().flatten(1).mean(1).tolist()
        found = [[_number(error)] for error in errors]
        for k, error in enumerate(errors):
            # A later image of the same error comes after: the heap's smallest is the one to give way.
            entry = (error, -(self._count + k), images[k].cpu(), shown[k].cpu())
            if len(self._worst) < WORST:
                heapq.heappush(self._worst, entry)
            elif entry[:2] > self._worst[0][:2]:
                heapq.heapreplace(self._worst, entry)
            if self._pictures:
                found[k].append(self.write(f"reconstructions/{part.places[k]}", encode(shown[k])))
        self._count += len(errors)
        return found

    def finish(self) -> None:
        ordered = sorted(self._worst, key=lambda entry: entry[:2], reverse=True)
        images, shown = (torch.stack([entry[k] for entry in ordered]) for k in (2, 3))  # type: ignore[misc]
        self.write("worst", encode(grid((images, shown, (images - shown).abs()))))

    @property
    def meaning(self) -> dict[str, str]:
        return {
            "error": "mean squared error per pixel of the reconstruction, pixels in [0,1]; the larger, the more unlike "
            "what the model was trained on",
            "worst.png": "the images of the largest errors, their reconstructions and the absolute differences",
        }


def predictions_of(archive: Archive, folder: Path, *, reconstructions: bool) -> Predictions:
    """Returns the predictions of an archived model.

    Args:
        archive: the archived model.
        folder: folder to write to.
        reconstructions: whether pictures of reconstructions are asked for.

    Raises:
        Refusal: the module does not say what the output is, or pictures are asked for and there are none.
    """
    module = archive.module
    known: dict[str | None, type[Predictions]] = {
        "class_logits": ClassProbabilities,
        "label_logits": LabelProbabilities,
        "values": PredictedValues,
        "mask_logits": PredictedMasks,
    }
    kind = module.output_kind
    found = known.get(kind)
    target = archive.specification.target
    if kind in ("pixels", "pixel_logits") and hasattr(module, "pixels"):
        if module.goal == archive.specification:
            return Reconstructions(archive, folder, pictures=reconstructions)
        found = Images
    elif found is not None and not hasattr(target, "names"):
        found = None
    if found is None:
        said = (
            f"{type(module).__name__} says that its output is {kind}, of {target.described if target else 'no target'}"
        )
        raise _refusal(
            f"{archive.path}: {said}; expected an output_kind that can be predicted: pixels (with a method pixels), or "
            f"{', '.join(str(name) for name in known)} of a target with names"
        )
    if reconstructions:
        raise _refusal(f"--reconstructions: {archive.path} reconstructs nothing; leave it out")
    return found(archive, folder)


def _placed(mask: torch.Tensor, size: tuple[int, int], outside: int) -> tuple[torch.Tensor, tuple[slice, slice]]:
    """Lays a mask (h, w) where the sample lies in its image, scaled by the nearest pixel.

    Returns:
        The image's mask (H, W), and which part of it the model saw.
    """
    left, upper, right, lower = cover(size[::-1], (mask.shape[0], mask.shape[1]))
    seen, sources = [], []
    for length, begin, end, small in ((size[0], upper, lower, mask.shape[0]), (size[1], left, right, mask.shape[1])):
        at = ((torch.arange(length, dtype=torch.float64) + 0.5 - begin) * (small / (end - begin))).floor().long()
        inside = ((at >= 0) & (at < small)).nonzero().flatten()
        first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        seen.append(slice(first, last))
        sources.append(at[first:last])
    whole = torch.full(size, outside, dtype=torch.uint8)
    whole[seen[0], seen[1]] = mask[sources[0]][:, sources[1]]
    return whole, (seen[0], seen[1])


def _number(value: float) -> str:
    return f"{value:.6g}"


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
