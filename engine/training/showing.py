"""Pictures of samples as a module shows them, with the samples' classes below."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from firebox.foundation.pictures import WHITE, Words, grid

RIGHT, WRONG = (27, 120, 55), (178, 24, 43)
"""The colours of a predicted class."""


class Shown(tuple[torch.Tensor, ...]):
    """Pictures to show one beneath the other, sample by sample, and the samples' classes.

    Args:
        pictures: each (N, C, H, W) float in [0, 1].
        given: the samples' labels, (N,) int64; None if there are none.
        predicted: the labels that the model predicts, (N,) int64; None if it predicts none.
    """

    given: torch.Tensor | None
    predicted: torch.Tensor | None

    def __new__(
        cls, *pictures: torch.Tensor, given: torch.Tensor | None = None, predicted: torch.Tensor | None = None
    ) -> Shown:
        shown = super().__new__(cls, pictures)
        shown.given, shown.predicted = given, predicted
        return shown


def draw(pictures: Sequence[torch.Tensor], classes: Sequence[str]) -> torch.Tensor:
    """Draws pictures as a grid, those that are ``Shown`` with the names of their classes.

    A predicted class is green where it is the given one, and red where it is not.

    Args:
        pictures: images to show below each other, each float (N, C, H, W) in [0, 1].
        classes: names of the classes; where there are fewer than two, no names are drawn.

    Returns:
        One image (1 or 3, height, width) uint8.
    """
    given, predicted = _names(pictures, "given", classes), _names(pictures, "predicted", classes)
    if given is None and predicted is None:
        return grid(pictures)
    captions: list[list[Words]] = [[] for _ in pictures[0]]
    for number, caption in enumerate(captions):
        if given is not None:
            caption.append(Words(given[number]))
        if predicted is not None:
            right = given is None or given[number] == predicted[number]
            caption.append(Words(predicted[number], ink=WHITE, paper=RIGHT if right else WRONG))
    return grid(pictures, captions=captions)


def _names(pictures: Sequence[torch.Tensor], labels: str, classes: Sequence[str]) -> list[str] | None:
    numbers: torch.Tensor | None = getattr(pictures, labels, None)
    return None if numbers is None or len(classes) < 2 else [classes[number] for number in numbers.tolist()]
