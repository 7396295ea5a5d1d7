"""MNIST: handwritten digits."""

from __future__ import annotations

from firebox.data.bases.idx_images import IdxImages


class MNIST(IdxImages):
    """60,000 training and 10,000 test images of handwritten digits, from a folder of idx files.

    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998.
    """

    name = "mnist"
    classes = tuple("0123456789")
    default_root = "datasets/mnist"
    origin = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    torchvision_name = "MNIST"
    torchvision_folder = "MNIST/raw"
