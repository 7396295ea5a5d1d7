"""Metrics of drawn images against real ones, each against what is known of it without them."""

import math

import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError

from firebox.engine.archives.sample_metrics import (
    ClassHistogram,
    FrechetDistance,
    NearestNeighbourAccuracy,
    Precision,
    Recall,
)

CPU = torch.device("cpu")
DRAW = torch.Generator().manual_seed(4)


def normal(*shape):
    return torch.randn(*shape, generator=DRAW, dtype=torch.float64)


def measured(metric, drawn, real, size=64):
    """Returns a metric's value, attached to an engine as Ignite's own are."""
    batches = list(zip(drawn.split(size), real.split(size), strict=True))
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "value")
    return engine.run(batches).metrics["value"]


def test_the_frechet_distance_is_that_of_the_matrix_square_root():
    drawn, real = normal(300, 6) @ normal(6, 6), normal(300, 6) @ normal(6, 6) + 1
    covariances = [torch.cov(features.T) for features in (drawn, real)]
    values, vectors = torch.linalg.eig(covariances[0] @ covariances[1])  # not symmetric, as scipy's sqrtm would take it
    root = (vectors * values.sqrt() @ torch.linalg.inv(vectors)).real
    expected = (drawn.mean(0) - real.mean(0)).square().sum() + (covariances[0] + covariances[1] - 2 * root).trace()
    assert measured(FrechetDistance(device=CPU), drawn, real) == pytest.approx(float(expected), rel=1e-9)


def test_the_frechet_distance_of_known_gaussians_is_known():
    drawn = normal(400, 3)
    drawn = torch.linalg.qr(drawn - drawn.mean(0))[0] * math.sqrt(399)  # of mean 0 and covariance 1, exactly
    real = drawn * 3 + torch.tensor([1.0, 0.0, 2.0])
    assert measured(FrechetDistance(device=CPU), drawn, real) == pytest.approx(1 + 4 + 3 * (3 - 1) ** 2, rel=1e-9)
    assert measured(FrechetDistance(device=CPU), drawn, drawn) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_of_fewer_images_than_features_is_refused():
    enough = measured(FrechetDistance(device=CPU), normal(8, 8), normal(8, 8))
    assert math.isfinite(enough)
    with pytest.raises(NotComputableError, match="got 7 drawn and 7 real images for 8 features, expected 8"):
        measured(FrechetDistance(device=CPU), normal(7, 8), normal(7, 8))


def test_precision_and_recall_tell_what_is_missing_from_what_is_wrong():
    modes = torch.tensor([[0.0, 0.0], [100.0, 0.0]], dtype=torch.float64)
    both = modes.repeat_interleave(64, 0) + normal(128, 2)
    one = modes[:1].repeat(128, 1) + normal(128, 2)
    assert measured(Precision(device=CPU), one, both) > 0.8
    assert measured(Recall(device=CPU), one, both) < 0.55
    assert measured(Precision(device=CPU), both, one) < 0.55
    assert measured(Recall(device=CPU), both, one) > 0.8


def test_precision_reaches_to_the_fifth_neighbour_of_a_real_image():
    real = torch.arange(10.0, dtype=torch.float64).unsqueeze(1)  # the fifth neighbour of 0 is 5, that of 9 is 4
    drawn = torch.tensor([[-5.0], [-5.1], [14.0], [14.1], [4.5]], dtype=torch.float64).repeat(2, 1)
    assert measured(Precision(device=CPU), drawn, real) == 0.6


def test_the_nearest_neighbour_can_tell_apart_what_differs_and_nothing_else():
    shared = normal(512, 4)
    assert measured(NearestNeighbourAccuracy(device=CPU), shared[:256], shared[256:]) == pytest.approx(0.5, abs=0.06)
    assert measured(NearestNeighbourAccuracy(device=CPU), shared[:256], shared[256:] + 50) == 1
    copies = measured(NearestNeighbourAccuracy(device=CPU), shared[:256], shared[:256] + 1e-6)
    assert copies < 0.1


@pytest.mark.parametrize("kind", [Precision, Recall, NearestNeighbourAccuracy])
def test_too_few_neighbours_are_refused(kind):
    with pytest.raises(NotComputableError, match="got 5 images, expected more than the 5 neighbours"):
        measured(kind(device=CPU), normal(5, 2), normal(5, 2))


def test_classes_are_counted_over_batches():
    metric = ClassHistogram(4, device=CPU)
    metric.update(torch.tensor([0, 1, 1]))
    metric.update(torch.tensor([3]))
    assert metric.compute().tolist() == [1, 2, 0, 1]
