"""Images that are stacked to batches in the order in which their pixels lie."""

import pytest
import torch

from firebox.data.sources.source import stacked


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("lying", [True, False])
def test_a_batch_keeps_the_order_of_its_images(channels, lying):
    images = [torch.randint(0, 256, (5, 6, channels), dtype=torch.uint8).permute(2, 0, 1) for _ in range(4)]
    images = images if lying else [image.contiguous() for image in images]
    batch = stacked(images)

    assert torch.equal(batch, torch.stack(images))
    assert batch.is_contiguous(memory_format=torch.channels_last if lying else torch.contiguous_format)


def test_images_of_different_shapes_are_told_by_the_shapes_that_they_have():
    images = [torch.zeros(4, 5, 3).permute(2, 0, 1), torch.zeros(6, 5, 3).permute(2, 0, 1)]
    with pytest.raises(RuntimeError, match=r"\[3, 4, 5\] at entry 0 and \[3, 6, 5\] at entry 1"):
        stacked(images)
