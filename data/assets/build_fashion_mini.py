"""Builds data/assets/fashion_mini from Fashion-MNIST: the first 600 training and 100 test images of each class.

    python -m firebox.data.assets.build_fashion_mini [FOLDER]

FOLDER holds Fashion-MNIST's four idx files; by default where Debian's package dataset-fashion-mnist puts them.
The images keep their order. What is unpacked from the files is always the same; the packed bytes depend on zlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy

from firebox.data.containers.idx import FILES, read_idx, write_idx
from firebox.data.fashion_mini import FOLDER
from firebox.data.fashion_mnist import FashionMNIST

PER_CLASS = {"train": 600, "t10k": 100}


def build(source: Path, destination: Path) -> None:
    """Writes the four files of fashion_mini.

    Args:
        source: the folder of Fashion-MNIST's four files.
        destination: the folder to write; it is made if needed.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for images_name, labels_name in zip(FILES[::2], FILES[1::2], strict=True):
        labels = read_idx(source / labels_name)
        count = PER_CLASS[images_name.split("-")[0]]
        chosen = numpy.sort(numpy.concatenate([numpy.flatnonzero(labels == label)[:count] for label in range(10)]))
        write_idx(destination / images_name, read_idx(source / images_name)[chosen])
        write_idx(destination / labels_name, labels[chosen])


if __name__ == "__main__":
    assert FashionMNIST.package_root is not None
    build(Path(sys.argv[1] if len(sys.argv) > 1 else FashionMNIST.package_root), FOLDER)
