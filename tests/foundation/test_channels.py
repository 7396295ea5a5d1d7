"""Pictures of images of any number of channels."""

from __future__ import annotations

from io import BytesIO

import numpy
import pytest
import torch
from PIL import Image

from firebox.foundation.channels import visible
from firebox.foundation.pictures import encode, grid


def test_grey_stays_grey_and_colours_stay_as_they_are() -> None:
    grey, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)

    assert torch.equal(visible([grey, grey])[1], grey)
    assert torch.equal(visible([colour])[0], colour)
    assert torch.equal(visible([grey, colour])[0], grey.expand(2, 3, 4, 4))


def test_two_channels_are_red_and_green_and_of_more_the_first_three_are_shown() -> None:
    images = torch.rand(2, 5, 4, 4)
    (two,), (five,) = visible([images[:, :2]]), visible([images])

    assert torch.equal(two[:, :2], images[:, :2])
    assert not two[:, 2].any()
    assert torch.equal(five, images[:, :3])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_a_grid_of_any_number_of_channels_is_a_picture(channels: int) -> None:
    picture = encode(grid([torch.ones(3, channels, 8, 8), torch.zeros(3, 1, 8, 8)]))

    with Image.open(BytesIO(picture)) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert numpy.asarray(image).max() == 255
