"""Datamodules and datagenerators: short name -> "module:Class"."""

DATAMODULES = {
    "fashion_mini": "data.fashion_mini:FashionMini",
    "fashion_mnist": "data.fashion_mnist:FashionMNIST",
    "mnist": "data.mnist:MNIST",
    "cifar10": "data.cifar10:CIFAR10",
    "image_folder": "data.image_folder:ImageFolder",
}
DATAGENERATORS = {
    "shapes": "data.shapes:Shapes",
}
