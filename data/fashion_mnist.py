"""The complete Fashion-MNIST."""

from __future__ import annotations

from firebox.data.bases.idx_images import IdxImages

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class FashionMNIST(IdxImages):
    """60,000 training and 10,000 test images of Fashion-MNIST, from Debian's package or a folder of idx files.

    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.
    """

    name = "fashion_mnist"
    classes = FASHION_CLASSES
    default_root = "datasets/fashion-mnist"
    package_root = "/usr/share/datasets/fashion-mnist"
    origin = "https://github.com/zalandoresearch/fashion-mnist (or install Debian's package dataset-fashion-mnist)"
    torchvision_name = "FashionMNIST"
    torchvision_folder = "FashionMNIST/raw"
