"""Data of my own."""

import torch

from firebox import DataModule, ImageSpecification, ResidentImages


class Discs(DataModule):
    """Discs of random places and sizes.

    Replace what ``read`` returns by images of your own, or name a data set that reads files, such as image_folder, in
    the configuration: ``firebox list`` shows them.

    Args:
        side: height and width of an image in pixels.
    """

    reads = "resident"

    def __init__(self, *, side: int = 16):
        self.side = side

    @property
    def specification(self):
        return ImageSpecification((1, self.side, self.side), "[0,1]")

    @property
    def split_lengths(self):
        return {"train": 500, "validation": 100, "test": 100}

    def read(self, split):
        generator = torch.Generator().manual_seed(list(self.split_lengths).index(split))
        places = torch.rand(self.split_lengths[split], 3, 1, 1, generator=generator)
        x, y, radius = (places * torch.tensor([1.0, 1.0, 0.5]).view(3, 1, 1)).unbind(1)
        line = torch.linspace(0, 1, self.side)
        inside = (line - x).square() + (line[:, None] - y).square() < radius.square()
        return ResidentImages(inside.unsqueeze(1).to(torch.uint8) * 255)
