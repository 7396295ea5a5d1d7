"""Metrics of drawn images against real ones, over the features that a classifier gives each.

Every metric reads pairs of features: those of drawn images (n, D) and those of real ones (m, D).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce

NEIGHBOURS = 5
"""The k of precision and recall."""
TOGETHER = 512
"""Number of points whose distances are held at a time."""

Features = tuple[torch.Tensor, torch.Tensor]


class FrechetDistance(Metric):
    """The squared Fréchet distance of two Gaussians with the means and covariances of drawn and of real features.

    |m - m'|^2 + tr(S + S' - 2 (S^(1/2) S' S^(1/2))^(1/2)), in float64 if the device supports it. Heusel et al., "GANs
    Trained by a Two Time-Scale Update Rule", NeurIPS 2017, over other features than theirs.

    Args:
        output_transform: function from an engine's output to the pair of features.
        device: device that the sums are kept on.

    Raises:
        NotComputableError: there are fewer images than features, so that a covariance has no full rank.
    """

    # Ignite's FID is not used: it takes equal batches of both, needs SciPy, and with fewer images than features returns
    # a number all the same.

    _state_dict_all_req_keys = ("_counts", "_sums", "_products")

    def __init__(self, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device) -> None:
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts = torch.zeros(2, dtype=self._double_dtype, device=self._device)
        self._sums = torch.zeros((), dtype=self._double_dtype, device=self._device)
        self._products = torch.zeros((), dtype=self._double_dtype, device=self._device)

    @reinit__is_reduced
    def update(self, output: Features) -> None:
        both = [features.detach().to(self._sums) for features in output]
        self._counts = self._counts + self._counts.new_tensor([len(features) for features in both])
        self._sums = self._sums + torch.stack([features.sum(0) for features in both])
        self._products = self._products + torch.stack([features.T @ features for features in both])

    @sync_all_reduce("_counts", "_sums", "_products")
    def compute(self) -> float:
        dimension = self._sums.shape[-1] if self._sums.dim() else 0
        if self._counts.min() < max(dimension, 2):
            drawn, real = (int(count) for count in self._counts)
            raise NotComputableError(
                f"got {drawn} drawn and {real} real images for {dimension} features, expected {max(dimension, 2)} of "
                "each at least: the covariance of fewer has no full rank"
            )
        counts = self._counts.view(2, 1)
        means = self._sums / counts
        centred = self._products - counts.unsqueeze(2) * means.unsqueeze(2) * means.unsqueeze(1)
        return frechet_distance(*means, *(centred / (counts.unsqueeze(2) - 1)))


def frechet_distance(
    mean: torch.Tensor, other_mean: torch.Tensor, covariance: torch.Tensor, other_covariance: torch.Tensor
) -> float:
    """Returns the squared Fréchet distance of two Gaussians, by eigenvalues of symmetric matrices alone.

    Args:
        mean: mean of one, (D,).
        other_mean: mean of the other, (D,).
        covariance: covariance of one, (D, D).
        other_covariance: covariance of the other, (D, D).
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    return float((mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared)


class _Neighbours(Metric):
    """A metric that compares every feature with every other one, and so keeps all of them.

    Args:
        output_transform: function from an engine's output to the pair of features.
        device: device that the features are kept on.
    """

    _state_dict_all_req_keys = ("_drawn", "_real")

    def __init__(self, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device) -> None:
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._drawn: list[torch.Tensor] = []
        self._real: list[torch.Tensor] = []

    @reinit__is_reduced
    def update(self, output: Features) -> None:
        drawn, real = output
        self._drawn.append(drawn.detach().to(self._device, self._double_dtype))
        self._real.append(real.detach().to(self._device, self._double_dtype))

    def compute(self) -> float:
        drawn, real = (self._gathered(parts) for parts in (self._drawn, self._real))
        fewest = min(len(drawn), len(real))
        if fewest <= NEIGHBOURS:
            raise NotComputableError(f"got {fewest} images, expected more than the {NEIGHBOURS} neighbours of each")
        return self._share(drawn, real)

    def _gathered(self, parts: list[torch.Tensor]) -> torch.Tensor:
        features = torch.cat(parts) if parts else torch.zeros(0, 0, device=self._device)
        gathered = idist.all_gather(features) if idist.get_world_size() > 1 else features
        assert isinstance(gathered, torch.Tensor)
        return gathered

    @abstractmethod
    def _share(self, drawn: torch.Tensor, real: torch.Tensor) -> float:
        """Returns the metric's value, a share in [0, 1]."""


class Precision(_Neighbours):
    """The share of drawn images that lie among the real ones: no further from one than its fifth neighbour.

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019.
    """

    def _share(self, drawn: torch.Tensor, real: torch.Tensor) -> float:
        return covered(drawn, real)


class Recall(_Neighbours):
    """The share of real images that lie among the drawn ones, as ``Precision`` says of the reverse."""

    def _share(self, drawn: torch.Tensor, real: torch.Tensor) -> float:
        return covered(real, drawn)


class NearestNeighbourAccuracy(_Neighbours):
    """The share of images whose nearest neighbour, of all others, is of their own kind, drawn or real; 0.5 is ideal.

    Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017. Below 0.5, drawn images are copies.
    """

    def _share(self, drawn: torch.Tensor, real: torch.Tensor) -> float:
        points = torch.cat([drawn, real])
        own = torch.arange(len(points), device=points.device) < len(drawn)
        right = 0
        for start in range(0, len(points), TOGETHER):
            away = distances(points[start : start + TOGETHER], points)
            away.diagonal(start).fill_(torch.inf)
            right += int((own[away.argmin(1)] == own[start : start + TOGETHER]).sum())
        return right / len(points)


class ClassHistogram(Metric):
    """Counts of the classes that a classifier gives drawn images, (classes,) int64.

    Args:
        classes: number of classes.
        output_transform: function from an engine's output to the classes (n,) int64.
        device: device that the counts are kept on.
    """

    _state_dict_all_req_keys = ("_counts",)

    def __init__(
        self, classes: int, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device
    ) -> None:
        self.classes = classes
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts = torch.zeros(self.classes, dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, output: torch.Tensor) -> None:
        self._counts = self._counts + torch.bincount(output.to(self._device), minlength=self.classes)

    @sync_all_reduce("_counts")
    def compute(self) -> torch.Tensor:
        return self._counts.clone()


def covered(points: torch.Tensor, others: torch.Tensor) -> float:
    """Returns the share of points (n, D) within the distance of one of the others (m, D) to its fifth neighbour."""
    reach = torch.cat(
        [distances(part, others).kthvalue(NEIGHBOURS + 1).values for part in others.split(TOGETHER)]
    )  # the nearest is the point itself
    inside = sum(int((distances(part, others) <= reach).any(1).sum()) for part in points.split(TOGETHER))
    return inside / len(points)


def distances(points: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Returns the distances of points (n, D) and others (m, D), (n, m); exactly 0 between equal ones."""
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")
