"""Arrays, shards and what memory a process takes to read them, for tests."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy
import torch
from PIL import Image

CLASSES = ("ant", "bee", "cow", "dog")


def arrays(count=40, side=12, seed=0):
    """Returns images, uint8 (N, H, W, 3), and classes, int64 (N,)."""
    draw = numpy.random.default_rng(seed)
    images = draw.integers(0, 256, (count, side, side, 3)).astype(numpy.uint8)
    return images, draw.integers(0, len(CLASSES), count)


def png(pixels):
    """Returns pixels as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def members_of(pixels, label):
    """Returns the members of a sample, by what follows the first dot of their names."""
    described = {"label": int(label), "name": CLASSES[label], "values": [label / 2, 1], "tags": ["x", "z"]}
    return {
        "png": png(pixels),
        "cls": str(label).encode(),
        "json": json.dumps(described).encode(),
        "mask.png": png(pixels[..., 0] // 100),
    }


def write_shard(path, samples, format=tarfile.USTAR_FORMAT):
    """Writes a tar file of samples: pairs of a name and its members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, members in samples:
            for kind, content in members.items():
                info = tarfile.TarInfo(f"{name}.{kind}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def write_shards(root, shards=3, count=40, side=12, seed=0, name="train-{:02d}.tar"):
    """Writes samples into shards in turn; returns their images and classes in the order of the data set."""
    images, labels = arrays(count, side, seed)
    order = [k for shard in range(shards) for k in range(shard, count, shards)]
    for shard in range(shards):
        samples = [(f"d/{k:04d}", members_of(images[k], labels[k])) for k in range(shard, count, shards)]
        write_shard(root / name.format(shard), samples)
    return images[order], labels[order]


def all_of(source):
    """Reads all samples of a source."""
    return source.gather(torch.arange(len(source)))


def grown_by(code):
    """Returns by how many MiB the memory of a process grows at most while it runs the last part of some code.

    The code is run as it is up to a line ``# measured``.
    """
    before, _, measured = code.partition("# measured")
    script = f"""
import re
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
{before}
open("/proc/self/clear_refs", "w").write("5")
begun = peak()
{measured}
print(peak() - begun)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])
