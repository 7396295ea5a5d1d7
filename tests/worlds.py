"""What the tests of many processes share: worlds of forked processes, which meet as torchrun's do."""

import os
import signal
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import FORK, Forked

SMALL = {
    "datamodule": {"batch_size": 300, "limit": 1000},
    "training": {"epochs": 2, "shards": 4, "threads": 1, "device": "cpu"},
}
"""Changes to the configuration of the exactness tests: 4 iterations an epoch, the last one of 100 images."""


class Launcher:
    """Stands for torchrun's agent: keeps the store that outlives the processes, and starts them."""

    def __init__(self):
        # In a process of its own: a fork of one that keeps a store can't reach it.
        ours, its = FORK.Pipe()
        self._keeper = FORK.Process(target=_keep_store, args=(its,), daemon=True)
        self._keeper.start()
        self._port = ours.recv()

    def lose(self, number=signal.SIGKILL):
        """Ends the store, also from a process that was started: as the loss of its machine does.

        SIGSTOP stops it, as a machine that is cut off answers no more.
        """
        os.kill(self._keeper.pid, number)

    def start(self, size, *arguments, prepare=None, trainer=TRAINER, only=lambda rank: ()):
        """Starts a world; ``prepare(rank)`` may change a process before it begins, ``only(rank)`` has more options."""

        def of_rank(rank):
            def begin():
                os.environ |= {
                    "WORLD_SIZE": str(size),
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "LOCAL_WORLD_SIZE": str(size),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(self._port),
                    "TORCHELASTIC_USE_AGENT_STORE": "True",
                }
                if prepare is not None:
                    prepare(rank)

            return begin

        return [Forked(*arguments, *only(rank), prepare=of_rank(rank), trainer=trainer) for rank in range(size)]


def _keep_store(pipe):
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=30), wait_for_workers=False)
    pipe.send(store.port)
    while True:
        signal.pause()


def codes(world):
    """Waits for all processes of a world, and returns their exit codes."""
    return [process.wait() for process in world]


def run_on(size, configuration, *options, **named):
    """Trains a configuration on a world of its own launcher, and returns the exit codes."""
    return codes(Launcher().start(size, str(configuration), *options, **named))


def on_rank(number, action):
    """Prepares one process of a world alone."""
    return lambda rank: action() if rank == number else None


@contextmanager
def ended(world):
    """Kills what is left of a world when the block ends."""
    try:
        yield world
    finally:
        for process in world:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)


def scalars(run):
    """Returns TensorBoard's values by tag, without the speed, which is a matter of time."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if "images" not in tag]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
