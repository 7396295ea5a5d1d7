"""What guards refuse of the processes of a world."""

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.world.world import World
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER


def refused(size, *assignments):
    """Returns what is refused of a world of so many processes, none for nothing."""
    world = World()
    world.size = world.local_size = size
    try:
        preflight(
            read(TRAINER.name, TRAINER.default, None, ["training.device=cpu", *assignments]), TRAINER, world=world
        )
    except Refusal as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("size", [2, 4])
def test_the_number_of_processes_divides_that_of_the_shards(size):
    assert refused(size, "training.shards=4") == ""


def test_another_number_of_processes_is_refused():
    said = refused(4, "training.shards=2")
    assert "training.shards: got 2 for 4 processes, which would not have equal parts of a batch" in said
    assert "--set training.shards=4" in said


def test_a_device_that_all_would_be_on_is_refused():
    said = refused(2, "training.shards=2", "training.device=cuda:1")
    assert "training.device: got cuda:1, where all 2 processes would be" in said
    assert "--set training.device=cuda" in said


def test_a_scaled_loss_is_refused_where_weights_are_spread():
    said = refused(2, "training.shards=2", "training.parallel=fsdp", "training.precision=float16")
    assert "training.precision: got float16, whose scaled gradients training.parallel fsdp can't look through" in said
    assert "--set training.precision=bfloat16" in said


def test_images_that_one_process_draws_are_refused_where_weights_are_spread():
    said = refused(2, "training.shards=2", "training.parallel=fsdp", "handlers.sample_quality.classifier=/nowhere")
    assert "handlers.sample_quality: draws images in the first process alone, which holds a part of the weights" in said
    assert "expected --set handlers.sample_quality=false, or --set training.parallel=replicated" in said


def test_histograms_of_a_part_of_the_weights_are_refused():
    said = refused(2, "training.shards=2", "training.parallel=fsdp", "handlers=[histograms]")
    assert "handlers.histograms: looks at each step in the first process alone" in said
