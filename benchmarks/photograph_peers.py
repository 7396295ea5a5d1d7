"""Systems that read a folder of photographs: shuffled batches of 128, scaled to cover a square and cropped to it.

Each yields what a model sees, float32 (N, 3, size, size) in [0, 1], with the labels. All peers use what was measured
to be the fastest of torchvision's ways: ``decode_image``, an antialiased ``Resize`` of bytes, and ``CenterCrop``. They
hand over bytes, which are divided by 255 a batch at a time in the training process. Run as a script, it measures one
system in a process of its own.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import torch

from firebox.benchmarks.measuring import installed
from firebox.foundation.machine import processors

BATCH_SIZE = 128
SEED = 7
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Job:
    """What to read, and how.

    Args:
        place: folder that ``photographs.make`` returned.
        size: height and width of the images, in pixels.
        workers: number of worker processes; 0 to read in the process itself.
        budget: bytes of images that Firebox may hold in memory; None for its own.
    """

    place: Path
    size: int
    workers: int
    budget: int | None = None


def firebox(job: Job, *, decoders: int | None = None) -> Callable[[], Batches]:
    """Returns a function that reads the next epoch of Firebox's stream, assembled as for a run.

    The samples are decoded beforehand, into a cache that is empty.

    Args:
        job: what to read, and how.
        decoders: number of processes that decode; None for as many as the others read with.
    """
    from firebox.data.image_folder import ImageFolder
    from firebox.data.sources.batch import Preparation
    from firebox.data.sources.reading import Reading
    from firebox.data.streaming import placement
    from firebox.data.streaming.stream import BatchStream
    from firebox.engine.training.devices.devices import set_up

    set_up(torch.device("cpu"))
    if job.budget is not None:
        placement.MEMORY_BUDGET = job.budget
    data = ImageFolder(root=str(job.place / "folders"), image_size=(job.size, job.size), validation_fraction=0.0)
    cache = tempfile.mkdtemp(dir=job.place, prefix="cache_")
    atexit.register(shutil.rmtree, cache)
    data.prepare(Reading(workers=job.workers if decoders is None else decoders, cache=Path(cache)))
    stream = BatchStream(data.read("train"), batch_size=BATCH_SIZE, seed=SEED, shuffle=True, workers=job.workers)
    prepare = Preparation(data.specification, torch.device("cpu"), channels_last=True)

    def epoch() -> Batches:
        for _ in range(len(stream)):
            batch = prepare(next(stream))
            assert batch.labels is not None
            yield batch.images, batch.labels

    return epoch


def firebox_run(job: Job) -> Callable[[], Batches]:
    """The same as a run does it, whose samples are decoded by all processors, however many workers it reads with."""
    return firebox(job, decoders=max(job.workers, processors()))


def image_folder(job: Job) -> Callable[[], Batches]:
    """torchvision's ImageFolder and a DataLoader."""
    from torchvision.datasets import ImageFolder
    from torchvision.io import read_file

    transform = _transform(job.size)
    data = ImageFolder(str(job.place / "folders"), loader=read_file, transform=transform)
    return _epochs(torch.utils.data.DataLoader(data, BATCH_SIZE, shuffle=True, **_workers(job)))


def hugging_face(job: Job) -> Callable[[], Batches]:
    """A table of Hugging Face datasets, mapped into memory, and a DataLoader."""
    import datasets

    decode = _transform(job.size)

    def transform(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"image": [decode(_bytes(image["bytes"])) for image in rows["image"]], "label": rows["label"]}

    table = datasets.load_from_disk(job.place / "arrow").cast_column("image", datasets.Image(decode=False))
    loader = torch.utils.data.DataLoader(
        table.with_transform(transform), BATCH_SIZE, shuffle=True, collate_fn=_stacked, **_workers(job)
    )
    return _epochs(loader)


def webdataset(job: Job) -> Callable[[], Batches]:
    """webdataset's shards, shuffled with a buffer of 1,000, and its WebLoader; each worker reads its own shards."""
    import webdataset as wds

    decode = _transform(job.size)
    shards = sorted(str(path) for path in (job.place / "shards").iterdir())
    data = (
        wds.WebDataset(shards, shardshuffle=len(shards), seed=SEED)
        .shuffle(1000)
        .to_tuple("jpg", "cls")
        .map_tuple(lambda content: decode(_bytes(content)), int)
        .batched(BATCH_SIZE)
    )
    return _epochs(wds.WebLoader(data, batch_size=None, **_workers(job)))


FIREBOX = ("PIL.ImageOps", "firebox.data.image_folder", "firebox.data.streaming.stream")
SYSTEMS: dict[str, tuple[Callable[[Job], Callable[[], Batches]], tuple[str, ...]]] = {
    "Firebox": (firebox, FIREBOX),
    "Firebox, as in a run": (firebox_run, FIREBOX),
    "torchvision": (image_folder, ("torchvision.datasets", "torchvision.transforms.v2")),
    "Hugging Face datasets": (hugging_face, ("torchvision.transforms.v2", "datasets")),
    "webdataset": (webdataset, ("torchvision.transforms.v2", "webdataset")),
}
"""By name: the function that starts a system, and what it imports."""


def peers() -> list[str]:
    """Returns the names of the peers whose packages are installed."""
    return [
        name
        for name, (_, modules) in SYSTEMS.items()
        if modules is not FIREBOX and installed(*(module.partition(".")[0] for module in modules))
    ]


def measure(name: str, job: Job, epochs: int) -> dict[str, Any]:
    """Reads epochs with one system.

    Returns:
        ``seconds`` of each epoch, the first with all that comes before its first batch but imports; ``images`` in each;
        ``growth``, by how much the largest resident memory of this process grew meanwhile, and ``workers``, the
        largest of a worker process, or 0, in MiB.
    """
    start, modules = SYSTEMS[name]
    for module in modules:
        import_module(module)
    before = peak("self")
    began = time.perf_counter()
    epoch = start(job)
    seconds, images = [], []
    for _ in range(epochs):
        images.append(sum(_checked(batch, job.size) for batch, _labels in epoch()))
        ended = time.perf_counter()
        seconds.append(ended - began)
        began = ended
    workers = max((peak(child.pid) for child in active_children()), default=0.0)
    return {"seconds": seconds, "images": images, "growth": peak("self") - before, "workers": workers}


def peak(process: int | str | None) -> float:
    """Returns the largest resident memory of a process so far, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _checked(images: torch.Tensor, size: int) -> int:
    if images.dtype != torch.float32 or images.shape[1:] != (3, size, size):
        raise RuntimeError(f"got {images.dtype} {tuple(images.shape)}, expected float32 (N, 3, {size}, {size})")
    return len(images)


def _transform(size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a function from the bytes of a JPEG, uint8 (n,), to an image, uint8 (3, size, size)."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize

    scale = Compose([Resize(size, antialias=True), CenterCrop(size)])
    return lambda content: scale(decode_image(content, ImageReadMode.RGB))


def _bytes(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _stacked(rows: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.stack([row["image"] for row in rows]), torch.tensor([row["label"] for row in rows])


def _workers(job: Job) -> dict[str, Any]:
    return {"num_workers": job.workers, "persistent_workers": job.workers > 0}


def _epochs(loader: Iterable[Any]) -> Callable[[], Batches]:
    def epoch() -> Batches:
        for images, labels in loader:
            yield images.to(torch.float32).div_(255), labels

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("place", type=Path, help="folder that photographs.py printed")
    parser.add_argument("--size", type=int, default=64, help="height and width; default %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="processes that read; default %(default)s")
    parser.add_argument("--epochs", type=int, default=2, help="default %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="that torch computes with; default %(default)s")
    parser.add_argument("--budget", type=int, help="bytes that Firebox may hold in memory; default its own")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    job = Job(chosen.place, chosen.size, chosen.workers, chosen.budget)
    json.dump(measure(chosen.system, job, chosen.epochs), sys.stdout)


if __name__ == "__main__":
    main()
