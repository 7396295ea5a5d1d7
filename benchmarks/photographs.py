"""Makes the JPEG photographs that ``data_path.py`` reads, in the forms that each system reads best.

They are seeded crops, scales, flips and colour shifts of photographs that scikit-image and scikit-learn ship, of about
500 by 375 pixels: a folder for each photograph, which is its class. ``folders/`` holds the files, ``shards/`` the same
bytes as webdataset's tar files, in a drawn order, and ``arrow/`` as the table that Hugging Face datasets saves.
What is there already is left as it is.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageEnhance, ImageOps

from firebox.benchmarks.measuring import installed

PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "palace": ("sklearn", "datasets/images/china.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "stars": ("skimage", "data/hubble_deep_field.jpg"),
}
CLASSES = tuple(PHOTOGRAPHS)
SOURCES = ("skimage", "sklearn")
COUNT = 5000
SHARDS = 10
"""Tar files, which workers share out."""
QUALITY = 90
NOISE = 3.0
"""Standard deviation of the noise of a sensor, in 0..255; what is scaled up has none, and would make small files."""


def default_root() -> Path:
    return Path(tempfile.gettempdir()) / "firebox_photographs"


def make(root: Path, count: int = COUNT) -> Path:
    """Makes the photographs in every form whose package is installed.

    Args:
        root: folder for the photographs of all counts.
        count: number of photographs.

    Returns:
        The folder that holds ``folders/``, ``shards/`` and ``arrow/``.
    """
    place = root / str(count)
    if not (place / "folders").exists() and not installed(*SOURCES):
        raise SystemExit(f"photographs.py: needs {' and '.join(SOURCES)}; see requirements-benchmarks.txt")
    place.mkdir(parents=True, exist_ok=True)
    for name, write in {"folders": _folders, "shards": _shards, "arrow": _arrow}.items():
        if not (place / name).exists() and (name != "arrow" or installed("datasets")):
            with tempfile.TemporaryDirectory(prefix=f".{name}_", dir=place) as unfinished:
                made = Path(unfinished) / name
                made.mkdir()
                write(place, made, count)
                made.rename(place / name)
    return place


def photograph(number: int) -> bytes:
    """Returns photograph ``number`` as the bytes of a JPEG, the same ones each time."""
    draw = numpy.random.default_rng((7, number))
    source = _source(CLASSES[number % len(CLASSES)])
    width, height = int(draw.integers(480, 521)), int(draw.integers(360, 391))
    share = draw.uniform(0.6, 1.0)
    scale = share * min(source.width / width, source.height / height)
    left = draw.uniform(0, source.width - scale * width)
    top = draw.uniform(0, source.height - scale * height)
    box = (left, top, left + scale * width, top + scale * height)
    image = source.resize((width, height), Image.Resampling.BICUBIC, box)
    if draw.random() < 0.5:
        image = ImageOps.mirror(image)
    for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness):
        image = enhance(image).enhance(draw.uniform(0.7, 1.3))
    noisy = numpy.asarray(image) + draw.normal(0, NOISE, (height, width, 3))
    content = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


@cache
def _source(name: str) -> Image.Image:
    package, file = PHOTOGRAPHS[name]
    found = find_spec(package)
    assert found is not None and found.origin is not None
    with Image.open(Path(found.origin).parent / file) as image:
        return image.convert("RGB")


def _folders(_: Path, made: Path, count: int) -> None:
    for name in CLASSES:
        (made / name).mkdir()
    with ProcessPoolExecutor() as pool:
        for _nothing in pool.map(partial(_write, made), range(count), chunksize=32):
            pass


def _write(folder: Path, number: int) -> None:
    (folder / CLASSES[number % len(CLASSES)] / f"{number:06}.jpg").write_bytes(photograph(number))


def _shards(place: Path, made: Path, count: int) -> None:
    order = numpy.random.default_rng(7).permutation(count)
    for shard, numbers in enumerate(numpy.array_split(order, SHARDS)):
        with tarfile.open(made / f"{shard:04}.tar", "w") as archive:
            for number in numbers.tolist():
                label, content = number % len(CLASSES), _read(place, number)
                for suffix, data in (("jpg", content), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{number:06}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def _arrow(place: Path, made: Path, count: int) -> None:
    import datasets

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"image": {"bytes": _read(place, number), "path": None}, "label": number % len(CLASSES)}

    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    with tempfile.TemporaryDirectory(dir=made.parent) as cache_folder:
        table = datasets.Dataset.from_generator(rows, features=features, cache_dir=cache_folder)
        table.save_to_disk(made)


def _read(place: Path, number: int) -> bytes:
    return (place / "folders" / CLASSES[number % len(CLASSES)] / f"{number:06}.jpg").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, default=default_root(), help="folder; default %(default)s")
    parser.add_argument("--count", type=int, default=COUNT, help="number of photographs; default %(default)s")
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(make(chosen.photographs, chosen.count))


if __name__ == "__main__":
    main()
