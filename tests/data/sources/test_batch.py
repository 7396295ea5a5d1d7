"""The preparation of batches: the same bits and the same memory format however many images are converted at once."""

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources import batch as module
from firebox.data.sources.batch import Batch, Preparation


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("at_once", [1, 100, 1 << 30])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_part_of_a_batch_at_a_time_gives_the_same_bits(monkeypatch, channels_last, at_once, count):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    pixels = torch.arange(count * 3 * 5 * 7).mul(37).to(torch.uint8).view(count, 3, 5, 7)
    prepare = Preparation(ImageSpecification((3, 5, 7)), torch.device("cpu"), channels_last=channels_last)
    images = prepare(Batch(pixels, None, torch.arange(count))).images

    assert torch.equal(images, pixels.float() / 255)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=memory_format)
    if count:
        assert not torch.equal(images, pixels.float() * (1 / 255))  # the control: other bits
