"""What a run's curves and pictures are called in TensorBoard, which sorts by name.

What has the same text before the first slash of its tag is a group; groups, and the cards in a group, come in the order
of their names. So ``loss`` comes first, with training and validation beside each other, then the other ``metrics``,
``optimization``, ``pictures``, and last ``test``: single points that TensorBoard shows beside the hyper-parameters.
"""

from __future__ import annotations

OPTIMIZATION = "optimization"
"""The group of the learning rates and the gradient norm."""
SPEED = f"{OPTIMIZATION}/images_per_second"
GRADIENT_NORM = f"{OPTIMIZATION}/gradient_norm"
"""The norm of all gradients before clipping; of several optimizers, with a slash and the optimizer's name."""


def tag_of(split: str, name: str) -> str:
    """Returns the tag of a loss or metric of a split."""
    if split == "test":
        return f"test/{name}"
    return f"loss/{split}" if name == "loss" else f"metrics/{name}/{split}"


def tag_of_picture(split: str, name: str) -> str:
    """Returns the tag of a picture of a split."""
    return f"pictures/{name}/{split}"
