"""Makes the pairs of fashion_mini_pairs: blurred, noisy images of fashion_mini, and the images themselves.

    python -m firebox.data.assets.make_pairs [FOLDER]

FOLDER, by default datasets/fashion_mini_pairs, must not exist yet; it appears when all pairs are in it. They are the
first 300 training and 100 test images of each class, as PNG files: FOLDER/train/images/000123.png is to become
FOLDER/train/targets/000123.png. The same pixels are made wherever this is run.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from firebox.data.containers.idx import FILES, read_idx
from firebox.data.fashion_mini import FOLDER as MINI
from firebox.data.fashion_mini_pairs import FOLDER
from firebox.foundation.exit_codes import REFUSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_CLASS = {"train": 300, "test": 100}
SEED = 7
NOISE = 64.0
"""Standard deviation of the noise, in steps of 1/255."""


def degraded(images: NDArray[numpy.uint8], seed: int) -> NDArray[numpy.uint8]:
    """Returns images blurred by the kernel (1, 2, 1) / 4 both ways, with Gaussian noise, rounded and clipped.

    Args:
        images: of shape (N, H, W).
        seed: seed of the noise.
    """
    padded = numpy.pad(images.astype(numpy.float64), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    # The legacy generator: NumPy promises that its numbers never change.
    noise = numpy.random.RandomState(seed).normal(0.0, NOISE, images.shape)
    return numpy.clip(numpy.rint(blurred + noise), 0, 255).astype(numpy.uint8)


def make(folder: Path) -> int:
    """Writes the pairs, and returns their number.

    Args:
        folder: folder to make.

    Raises:
        FileExistsError: it exists.
        OSError: it can't be written; nothing is left then.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; remove it to make the pairs again, or name another folder")
    temporary = folder.with_name(f".{folder.name}.writing")
    made = 0
    try:
        for number, (split, count) in enumerate(PER_CLASS.items()):
            images, labels = (read_idx(MINI / name) for name in FILES[2 * number : 2 * number + 2])
            chosen = numpy.sort(numpy.concatenate([numpy.flatnonzero(labels == label)[:count] for label in range(10)]))
            originals = images[chosen]
            for kind, pixels in (("images", degraded(originals, SEED + number)), ("targets", originals)):
                _write(temporary / split / kind, chosen.tolist(), pixels)
            made += len(chosen)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _write(folder: Path, numbers: Sequence[int], pixels: NDArray[numpy.uint8]) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    for number, image in zip(numbers, pixels, strict=True):
        Image.fromarray(image).save(folder / f"{number:06d}.png")


if __name__ == "__main__":
    destination = Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
    try:
        print(f"{make(destination):,} pairs in {destination}")  # noqa: T201
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)
