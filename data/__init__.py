"""Datamodules and datagenerators, and how samples become batches.

Imports foundation alone. The data sets are files here; what they consist of is in the rooms below them. Add a data set
in a file of its own, with a line in the catalogue here: short name -> "module:Class".
"""

DATAMODULES = {
    "fashion_mini": "firebox.data.fashion_mini:FashionMini",
    "fashion_mini_pairs": "firebox.data.fashion_mini_pairs:FashionMiniPairs",
    "fashion_mnist": "firebox.data.fashion_mnist:FashionMNIST",
    "mnist": "firebox.data.mnist:MNIST",
    "cifar10": "firebox.data.cifar10:CIFAR10",
    "image_folder": "firebox.data.image_folder:ImageFolder",
    "image_pairs": "firebox.data.image_pairs:ImagePairs",
    "image_table": "firebox.data.image_table:ImageTable",
    "arrays": "firebox.data.arrays:Arrays",
    "hugging_face": "firebox.data.hugging_face:HuggingFace",
    "shards": "firebox.data.shards:Shards",
}
DATAGENERATORS = {
    "shapes": "firebox.data.shapes:Shapes",
}
