"""The cost of several processes: an epoch on two processes, against one with two threads, and against DDP by hand.

All three train the baseline autoencoder on the same images with the same batch size, float32 on the CPU, for the same
epochs, without evaluation, images and checkpoints; Firebox also writes its losses and watches for what is not finite,
which DDP by hand does not. "two processes" is Firebox under torchrun with two
shards and a thread each; "DDP by hand" is the loop that a good engineer would write, with DistributedDataParallel on
two processes, a thread each; "one process" is Firebox with two threads and no shards. Each epoch but the first counts;
what is given is the median. Beside them: the exchange of gradients alone, by size, against torch's own all_reduce.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml

BATCH_SIZE = 128
SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
"""Elements of the vectors that are exchanged."""
OFF = ("image_dump", "loss_plot", "checkpoint", "model_summary", "progress", "evaluation")
"""Default handlers that are left out."""


def configuration(folder: Path, epochs: int, shards: int, threads: int) -> dict[str, Any]:
    return {
        "trainer": "cae_baseline",
        "datamodule": {"name": "fashion_mini", "batch_size": BATCH_SIZE},
        "model": {"name": "cae_baseline", "channels": [32, 64], "latent_dim": 64},
        "module": {"name": "reconstruction"},
        "optimizer": {"name": "adam", "lr": 0.002},
        "training": {"epochs": epochs, "device": "cpu", "shards": shards, "threads": threads},
        "handlers": [
            *({name: False} for name in OFF),
            {"firebox.benchmarks.stopwatch:Stopwatch": {}},
        ],
        "output": {"root": str(folder / "runs")},
    }


def run(command: list[str], **variables: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)


def torchrun(processes: int, *arguments: str) -> list[str]:
    options = [f"--nproc-per-node={processes}", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    return [sys.executable, "-m", "torch.distributed.run", *options, *arguments]


def firebox(processes: int, epochs: int, shards: int, threads: int) -> list[float]:
    """Returns the seconds of each epoch of a run of Firebox."""
    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration(folder, epochs, shards, threads)))
        command = ["-m", "firebox", "train", "cae_baseline", str(folder / "config.yaml"), "--quiet"]
        several = torchrun(processes, *command) if processes > 1 else [sys.executable, *command]
        run(several, OMP_NUM_THREADS=str(threads), FIREBOX_EPOCHS=str(folder / "epochs.json"))
        return [float(seconds) for seconds in json.loads((folder / "epochs.json").read_text())]


def by_hand(processes: int, epochs: int) -> list[float]:
    """Returns the seconds of each epoch of a loop with DistributedDataParallel."""
    with tempfile.TemporaryDirectory(prefix="firebox_benchmark_") as name:
        file = Path(name) / "epochs.json"
        run(torchrun(processes, "-m", "firebox.benchmarks.many_processes", "--by-hand", str(epochs)),
            OMP_NUM_THREADS="1", FIREBOX_EPOCHS=str(file))  # fmt: skip
        return [float(seconds) for seconds in json.loads(file.read_text())]


def ddp_loop(epochs: int) -> None:
    """The loop by hand, in one of its processes."""
    from torch.nn.functional import mse_loss
    from torch.nn.parallel import DistributedDataParallel

    from firebox.data.fashion_mini import FashionMini
    from firebox.data.sources.source import ResidentImages
    from firebox.models.cae_baseline import CAEBaseline

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    source = FashionMini().read("train")
    assert isinstance(source, ResidentImages)
    torch.manual_seed(0)
    model = CAEBaseline((1, 28, 28), channels=(32, 64), latent_dim=64).to(memory_format=torch.channels_last)
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002, fused=True)
    taken = []
    for epoch in range(epochs):
        began = time.perf_counter()
        order = torch.randperm(len(source), generator=torch.Generator().manual_seed(epoch))
        for start in range(0, len(order), BATCH_SIZE):
            own = order[start : start + BATCH_SIZE].tensor_split(size)[rank]
            images = source.images[own].contiguous(memory_format=torch.channels_last).float().div_(255)
            optimizer.zero_grad()
            mse_loss(parallel(images), images).backward()
            optimizer.step()
        taken.append(time.perf_counter() - began)
    if rank == 0:
        Path(os.environ["FIREBOX_EPOCHS"]).write_text(json.dumps(taken))
    dist.destroy_process_group()


def exchanges() -> None:
    """The exchange of gradients by size, in one of its processes."""
    from firebox.engine.world.exchange import Exchanges

    dist.init_process_group("gloo")
    ours = Exchanges(dist.get_rank(), dist.get_world_size())
    for elements in SIZES:
        flat, incoming = torch.ones(elements), torch.empty(elements)
        taken: dict[str, list[float]] = {"ours": [], "all_reduce": []}
        for _ in range(max(5, min(100, 20_000_000 // elements))):
            for name in taken:
                dist.barrier()
                began = time.perf_counter()
                ours.add_up(flat, incoming) if name == "ours" else dist.all_reduce(flat)
                taken[name].append(time.perf_counter() - began)
                flat.fill_(1)
        if dist.get_rank() == 0:
            tree, plain = (statistics.median(taken[name]) * 1e6 for name in ("ours", "all_reduce"))
            beside = f"all_reduce {plain:9.0f} µs, {tree / plain:.2f} x"
            print(f"{elements:>10,} elements: {tree:9.0f} µs, {beside}", flush=True)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--by-hand", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--exchanges", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.by_hand:
        ddp_loop(chosen.by_hand)
    elif chosen.exchanges:
        exchanges()
    else:
        compare(chosen.epochs, chosen.rounds)


def compare(epochs: int, rounds: int) -> None:
    systems: dict[str, Callable[[], list[float]]] = {
        "one process, two threads": lambda: firebox(1, epochs, 1, 2),
        "one process, two threads, two shards": lambda: firebox(1, epochs, 2, 2),
        "two processes, two shards": lambda: firebox(2, epochs, 2, 1),
        "two processes, DDP by hand": lambda: by_hand(2, epochs),
    }
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            taken[name] += system()[1:]
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    for name, seconds in medians.items():
        ratio = seconds / medians["one process, two threads"]
        print(f"{name:<40} {seconds:7.3f} s an epoch, {ratio:.2f} x one process, lowest {min(taken[name]):.3f}")
    print(
        f"Firebox over DDP by hand: {medians['two processes, two shards'] / medians['two processes, DDP by hand']:.3f}"
    )
    for processes in (2, 4):
        print(f"{processes} processes, the exchange alone", flush=True)
        subprocess.run(torchrun(processes, "-m", "firebox.benchmarks.many_processes", "--exchanges"), check=True,
                       env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip


if __name__ == "__main__":
    main()
