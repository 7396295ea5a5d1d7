"""Metrics shared by several modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.metrics import SSIM, Average, Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from ignite.metrics.psnr import PSNR
from ignite.metrics.regression import R2Score

from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.training.bases.module import Evaluated
from firebox.engine.training.steps.terms import RESERVED

SMALLEST_SSIM_SIDE = 6
"""Shortest side in pixels for SSIM, whose window of 11 pixels is padded by reflection."""


def loss_metric(name: str, device: torch.device) -> Metric:
    """Returns the metric that averages a loss term over all samples."""
    return Average(output_transform=lambda evaluated: evaluated.losses[name].unsqueeze(1), device=device)


def column(number: int, evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns one of several predicted numbers and of its targets, (N,) each."""
    return evaluated.prediction[:, number], evaluated.target[:, number]


# Ignite's MeanAveragePrecision indexes a tensor by a list, which torch warns of.
def average_precision(scores: torch.Tensor, holds: torch.Tensor) -> float:
    """Returns the mean of the precision at each sample that a label holds of, weighted by the recall that it adds.

    Args:
        scores: the larger, the more probable is the label, (N,).
        holds: 1 where the label holds, otherwise 0, (N,).

    Returns:
        A number in [0, 1]; equal scores count as one step. 0 if the label holds of no sample.
    """
    scores, order = scores.cpu().sort(descending=True, stable=True)
    right = holds.cpu()[order].double().cumsum(0)
    last = torch.cat([scores.diff().nonzero().flatten(), torch.tensor([len(scores) - 1])])
    precision, gained = right[last] / (last + 1), right[last].diff(prepend=right.new_zeros(1))
    return float((precision * gained).sum() / right[-1].clamp(min=1))


def mean_of(*values: float) -> float:
    """Returns the mean of numbers, at least one."""
    return sum(values) / len(values)


def names_in_metrics(names: Sequence[str]) -> list[str]:
    """Returns names of classes, labels or values as metrics can have them, with the number where two would be equal."""
    found = ["".join("_" if c in RESERVED or not c.isprintable() else c for c in name) for name in names]
    return found if len(set(found)) == len(found) else [f"{k}_{name}" for k, name in enumerate(found)]


def reconstruction_metrics(specification: ImageSpecification, device: torch.device) -> dict[str, Metric]:
    """Returns PSNR and SSIM of reconstructions in [0, 1], each averaged over the images."""

    def images(evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
        return evaluated.prediction, evaluated.target

    metrics: dict[str, Metric] = {"psnr": PSNR(data_range=1.0, output_transform=images, device=device)}
    if min(specification.shape[1:]) >= SMALLEST_SSIM_SIDE:
        metrics["ssim"] = SSIM(data_range=1.0, output_transform=images, device=device)
    return metrics


def psnr(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the PSNR of each image in decibels, (N,), as Ignite's metric averages it.

    Args:
        images: images in [0, 1], (N, C, H, W).
        targets: what they are compared with, in [0, 1], (N, C, H, W).
    """
    errors = (images - targets).square().mean((1, 2, 3))
    return -10 * (errors + 1e-10).log10()


class R2(R2Score):
    """The coefficient of determination: the share of the variance of the true values that is explained.

    As Ignite's, but summed in float64 if the device supports it: the variance of values far from 0, such as years, is a
    small difference of large sums. Where all true values are equal, it is 1 if all are met, and otherwise 0.
    """

    @reinit__is_reduced
    def reset(self) -> None:
        super().reset()
        for name in ("_sum_of_errors", "_y_sq_sum", "_y_sum"):
            setattr(self, name, torch.zeros((), dtype=self._double_dtype, device=self._device))

    def _update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        predicted, true = output
        super()._update((predicted.to(self._double_dtype), true.to(self._double_dtype)))

    def compute(self) -> float:
        try:
            return float(super().compute())
        except ZeroDivisionError:
            return float(self._sum_of_errors == 0)


class ActiveUnits(Metric):
    """The number of latent entries whose posterior mean varies over the data: Var_x(E[z|x]) > threshold.

    Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, section 5. The variance is taken
    over all samples seen, in float64 if the device supports it.

    Args:
        output_transform: function from the evaluator's output to the posterior means (N, latent_dim).
        device: device that the sums are kept on.
        threshold: variance above which an entry counts as active.
    """

    _state_dict_all_req_keys = ("_sum", "_squares", "_count")

    def __init__(
        self, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device, threshold: float = 0.01
    ) -> None:
        self.threshold = threshold
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._sum = torch.zeros((), dtype=self._double_dtype, device=self._device)
        self._squares = torch.zeros((), dtype=self._double_dtype, device=self._device)
        self._count = 0

    @reinit__is_reduced
    def update(self, means: torch.Tensor) -> None:
        means = means.detach().to(self._sum)
        self._sum = self._sum + means.sum(0)
        self._squares = self._squares + means.square().sum(0)
        self._count += len(means)

    @sync_all_reduce("_sum", "_squares", "_count")
    def compute(self) -> float:
        variance = self._squares / self._count - (self._sum / self._count).square()
        return float((variance > self.threshold).sum())


class CodeCounts(Metric):
    """How often each code of a codebook is used, (codes,) int64, over all samples seen.

    Args:
        codes: number of codes.
        output_transform: function from the evaluator's output to the codes (N, ...), int64.
        device: device that the counts are kept on.
    """

    _state_dict_all_req_keys = ("_counts",)

    def __init__(self, codes: int, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device) -> None:
        self.codes = codes
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts = torch.zeros(self.codes, dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, codes: torch.Tensor) -> None:
        self._counts = self._counts + torch.bincount(codes.detach().flatten(), minlength=self.codes).to(self._counts)

    @sync_all_reduce("_counts")
    def compute(self) -> torch.Tensor:
        return self._counts


class MeanByInterval(Metric):
    """The mean of a value in each of several intervals of equal length that another value in [0, 1) falls into, (K,).

    Args:
        intervals: number K of intervals.
        output_transform: function from the evaluator's output to values (N,) and what tells their interval (N,).
        device: device that the sums are kept on.
    """

    _state_dict_all_req_keys = ("_sums", "_counts")

    def __init__(
        self, intervals: int, output_transform: Callable[..., Any] = lambda x: x, *, device: torch.device
    ) -> None:
        self.intervals = intervals
        super().__init__(output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        self._sums = torch.zeros(self.intervals, dtype=self._double_dtype, device=self._device)
        self._counts = torch.zeros(self.intervals, dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        values, places = (each.detach().to(self._device) for each in output)
        numbers = (places * self.intervals).long().clamp(0, self.intervals - 1)
        self._sums = self._sums.index_add(0, numbers, values.to(self._sums))
        self._counts = self._counts + torch.bincount(numbers, minlength=self.intervals)

    @sync_all_reduce("_sums", "_counts")
    def compute(self) -> torch.Tensor:
        """Returns the means; that of an interval without values is NaN."""
        return self._sums / self._counts
