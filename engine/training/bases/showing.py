"""Pictures of samples as a module shows them, with what the samples are below."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from firebox.foundation.pictures import WHITE, Words, grid

RIGHT, WRONG, NEUTRAL = (27, 120, 55), (178, 24, 43), (90, 90, 90)
"""The colours behind what is predicted."""


class Shown(tuple[torch.Tensor, ...]):
    """Pictures to show one beneath the other, sample by sample, and what the samples are.

    Args:
        pictures: each (N, C, H, W) float in [0, 1].
        given: the samples' labels, (N,) int64, or a text for each; None if there are none.
        predicted: the labels that the model predicts, (N,) int64, or a text for each; None if it predicts none.
        judged: whether what is predicted is right only where it is the same as what is given.
    """

    given: torch.Tensor | Sequence[str] | None
    predicted: torch.Tensor | Sequence[str] | None
    judged: bool

    def __new__(
        cls,
        *pictures: torch.Tensor,
        given: torch.Tensor | Sequence[str] | None = None,
        predicted: torch.Tensor | Sequence[str] | None = None,
        judged: bool = True,
    ) -> Shown:
        shown = super().__new__(cls, pictures)
        shown.given, shown.predicted, shown.judged = given, predicted, judged
        return shown


def draw(pictures: Sequence[torch.Tensor], classes: Sequence[str]) -> torch.Tensor:
    """Draws pictures as a grid, those that are ``Shown`` with what the samples are.

    What is predicted is green where it is what is given, and red where it is not; grey where it is not judged.

    Args:
        pictures: images to show below each other, each float (N, C, H, W) in [0, 1].
        classes: names of the classes; where there are fewer than two, labels are not drawn.

    Returns:
        One image (1 or 3, height, width) uint8.
    """
    given, predicted = _texts(pictures, "given", classes), _texts(pictures, "predicted", classes)
    if given is None and predicted is None:
        return grid(pictures)
    captions: list[list[Words]] = [[] for _ in pictures[0]]
    for number, caption in enumerate(captions):
        if given is not None:
            caption.append(Words(given[number]))
        if predicted is not None:
            right = given is None or given[number] == predicted[number]
            paper = (RIGHT if right else WRONG) if getattr(pictures, "judged", True) else NEUTRAL
            caption.append(Words(predicted[number], ink=WHITE, paper=paper))
    return grid(pictures, captions=captions)


def _texts(pictures: Sequence[torch.Tensor], name: str, classes: Sequence[str]) -> Sequence[str] | None:
    found: torch.Tensor | Sequence[str] | None = getattr(pictures, name, None)
    if not isinstance(found, torch.Tensor):
        return found
    return None if len(classes) < 2 else [classes[number] for number in found.tolist()]
