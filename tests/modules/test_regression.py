"""The regression module: its losses, its errors in the data's units, and what it shows."""

import numpy
import pytest
import torch
from ignite.engine import Engine
from torch import nn

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Values
from firebox.data.sources.batch import Batch, Preparation
from firebox.engine.training.bases.showing import NEUTRAL, draw
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import R2
from firebox.modules.regression import Regression

SHAPE = (1, 6, 8)
CPU = torch.device("cpu")
YEARS = Values(("year", "height/m"), (2000.0, 1.5), (10.0, 0.25))
"""Values of two units, in which modules see them standardised."""
GIVEN = torch.tensor([[2000.0, 1.5], [2010.0, 1.75], [1990.0, 1.5], [2020.0, 1.0]])


class Fixed(nn.Module):
    """Answers with the values that it holds, whatever it is shown."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, images):
        return self.values[: len(images)]


def regression(values, target=YEARS, **settings):
    return Regression(Fixed(values), ImageSpecification(SHAPE, target=target), **settings)


def prepared(values, target=YEARS):
    """A batch as a run prepares it."""
    batch = Batch(torch.randint(0, 256, (len(values), *SHAPE)).byte(), values, torch.arange(len(values)))
    return Preparation(ImageSpecification(SHAPE, target=target), CPU)(batch)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        ("mse", lambda error: error.square()),
        ("l1", lambda error: error.abs()),
        ("huber", lambda error: torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5)),
    ],
)
def test_the_loss_is_that_of_the_standardised_values(loss, by_hand):
    values = torch.randn(4, 2) * 3
    module, batch = regression(values.clone(), loss=loss), prepared(GIVEN)
    expected = by_hand(values - (GIVEN - torch.tensor(YEARS.mean)) / torch.tensor(YEARS.std))

    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=1.0, fused=True)}, device=CPU)
    evaluated = module.evaluation_step(batch)
    torch.testing.assert_close(evaluated.losses["loss"], expected.mean(1))
    losses = module.training_step(batch, update)
    assert list(losses) == ["loss"]
    torch.testing.assert_close(losses["loss"], expected.mean())
    assert not torch.equal(module.model.values, values)


def test_errors_are_in_the_datas_units_whatever_the_scale():
    estimates = GIVEN + torch.tensor([[1.0, 0.0], [-3.0, 0.1], [0.0, -0.1], [2.0, 0.0]])
    found = []
    for target in (YEARS, Values(YEARS.names)):
        module = regression(target.prepared(estimates), target)
        evaluator = Engine(lambda _, batch, module=module: module.evaluation_step(batch))
        for name, metric in module.metrics(CPU).items():
            metric.attach(evaluator, name)
        with torch.inference_mode():
            # In two batches of which each is answered by the first estimates.
            results = evaluator.run([prepared(GIVEN, target), prepared(GIVEN[:1], target)]).metrics
        found.append(results)
        assert list(results) == ["loss", "mean_r2", "mae_year", "mae_height_m", "r2_year", "r2_height_m"]
    true, estimated = (torch.cat([each, each[:1]]).double().numpy() for each in (GIVEN, estimates))
    errors = numpy.abs(true - estimated).mean(0)
    shares = 1 - ((true - estimated) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)
    for results in found:
        assert [results["mae_year"], results["mae_height_m"]] == pytest.approx(errors, rel=1e-4)
        assert [results["r2_year"], results["r2_height_m"]] == pytest.approx(shares, rel=1e-4)
        assert results["mean_r2"] == pytest.approx(shares.mean(), rel=1e-4)


def test_the_share_of_variance_is_exact_far_from_0_and_defined_without_variance():
    draw = torch.Generator().manual_seed(0)
    true = 1e4 + torch.rand(1000, generator=draw)
    estimated = true + 0.1 * torch.rand(1000, generator=draw)
    metric = R2(device=CPU)
    metric.update((estimated, true))
    deviations = (true.double() - true.double().mean()).square().sum()
    assert metric.compute() == pytest.approx(
        float(1 - (estimated - true).double().square().sum() / deviations), rel=1e-6
    )
    for error, expected in ((0.0, 1.0), (1.0, 0.0)):
        metric.reset()
        metric.update((torch.full((3,), 5.0 + error), torch.full((3,), 5.0)))
        assert metric.compute() == expected


@torch.inference_mode()
def test_values_are_shown_in_their_units_on_a_colour_that_judges_nothing():
    estimates = torch.tensor([[2003.0, 1.5], [1990.0, 1.0]])
    shown = regression(YEARS.prepared(estimates)).images(prepared(GIVEN[:2]))["estimated"]
    assert (shown.given, shown.predicted) == (["2000, 1.5", "2010, 1.75"], ["2003, 1.5", "1990, 1"])
    assert NEUTRAL[0] in draw(shown, ())


def test_other_targets_are_refused_with_the_module_that_takes_them():
    with pytest.raises(ValueError, match=r"values to regress, got a class of 2; choose .* takes it: classification"):
        Regression(Fixed(torch.zeros(1, 2)), ImageSpecification(SHAPE, classes=("a", "b")))
    with pytest.raises(ValueError, match="have values to regress, got none; choose another data set or module"):
        Regression(Fixed(torch.zeros(1, 2)), ImageSpecification(SHAPE))
