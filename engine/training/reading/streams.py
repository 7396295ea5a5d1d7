"""The streams of a run's batches: its data is prepared and read, and divided into batches."""

from __future__ import annotations

from collections.abc import Callable

import torch

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.bases.limited_data import limited
from firebox.data.bases.standardised_values import scaled
from firebox.data.declarations.data_error import DataError
from firebox.data.sources.reading import Reading, unseen
from firebox.data.sources.source import DatasetImages, labels_at_hand
from firebox.data.streaming.stream import BatchStream
from firebox.engine.configuration import Configuration
from firebox.engine.training.construction import blamed, construct
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.reading.reading_progress import shown_progress
from firebox.engine.world.world import ALONE, World
from firebox.foundation.machine import processors
from firebox.foundation.problems import Problem, Refusal
from firebox.foundation.shards import WHOLE

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def construct_data(configuration: Configuration, stop: StopRequest | None = None) -> DataModule:
    """Constructs the data that a configuration names; see ``as_configured``."""
    return as_configured(construct(configuration.data.named, configuration.data.kind), configuration, stop)


def as_configured(data: DataModule, configuration: Configuration, stop: StopRequest | None = None) -> DataModule:
    """Says how data may read its files, limits it and scales its values, as its section of the configuration asks."""
    data.reading, loading = reading(configuration, stop or StopRequest()), configuration.data.loading
    return scaled(limited(data, loading.limit), loading.target_scale)


def build_streams(
    configuration: Configuration, data: DataModule, device: torch.device, stop: StopRequest, world: World = ALONE
) -> dict[Split, BatchStream]:
    """Reads the splits that exist and makes their streams: training shuffled, the others in order.

    Of a training batch, each process reads its shards; of the other splits, each reads whole batches, in turn.
    """
    with blamed(configuration.data.named, configuration.data.kind), shown_progress() as progress:
        data.prepare(reading(configuration, stop, progress))
    try:
        return {
            split: build_stream(configuration, data, split, device, stop, world)
            for split in SPLITS
            if data.split_lengths.get(split)
        }
    except DataError as error:
        key = configuration.data.kind
        raise Refusal([Problem(key, str(error), configuration.mark(key, "name"))]) from None


def reading(
    configuration: Configuration, stop: StopRequest, progress: Callable[[str, int, int], None] = unseen
) -> Reading:
    """Returns how the data may be read before the training."""
    loading = configuration.data.loading
    return Reading(
        workers=max(loading.workers, processors()),
        timeout=loading.timeout,
        stopping=lambda: stop.requested,
        progress=progress,
        cache=loading.cache_folder,
        asked=loading.cache != "auto",
        cache_bytes=int(loading.cache_gib * 2**30),
        content=loading.verify == "content",
    )


def build_stream(
    configuration: Configuration,
    data: DataModule,
    split: Split,
    device: torch.device,
    stop: StopRequest,
    world: World = ALONE,
) -> BatchStream:
    """Reads a split and makes the stream of its batches."""
    loading, training = configuration.data.loading, split == "train"
    with blamed(configuration.data.named, configuration.data.kind):
        source = data.read(split)
    if isinstance(source, DatasetImages):
        source.target = data.specification.target
    balanced = training and loading.sampling == "balanced"
    if balanced and labels_at_hand(source) is None:
        key = configuration.data.kind
        message = (
            "got balanced, but the classes of its samples are not known without reading the images; expected shuffled, "
            "or a data set with all labels in an attribute targets"
        )
        raise Refusal([Problem(f"{key}.sampling", message, configuration.nearest_mark(key, "sampling"))])
    return BatchStream(
        source,
        batch_size=loading.batch_size_of(split),
        seed=configuration.seed,
        shuffle=training,
        balanced=balanced,
        drop_last=loading.drop_last and training,
        placement=loading.placement,
        all_samples=sum(data.split_lengths.values()),
        workers=loading.workers,
        device=device,
        timeout=loading.timeout,
        stopping=lambda: stop.requested,
        portion=world.portion(configuration.training.shards) if training else WHOLE,
        step=1 if training else world.size,
    )
