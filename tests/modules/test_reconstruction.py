"""The reconstruction module where the data has target images."""

import pytest
import torch
from ignite.engine import Engine
from ignite.metrics.psnr import PSNR
from torch import nn

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.sources.batch import Batch
from firebox.modules.reconstruction import Reconstruction

CPU = torch.device("cpu")
SHAPE = (1, 12, 12)


def measured(module, batches):
    evaluator = Engine(lambda _, batch: module.evaluation_step(batch))
    for name, metric in module.metrics(CPU).items():
        metric.attach(evaluator, name)
    with torch.inference_mode():
        return evaluator.run(batches).metrics


@pytest.mark.parametrize("pixel_range", ["[0,1]", "[-1,1]"])
def test_psnr_of_the_input_is_that_of_an_output_which_changes_nothing(pixel_range):
    target = TargetImage(ImageSpecification(SHAPE, pixel_range))
    specification = ImageSpecification(SHAPE, pixel_range, target=target)
    clean = specification.from_unit(torch.rand(5, *SHAPE))
    noisy = specification.from_unit((specification.to_unit(clean) + torch.randn(5, *SHAPE) / 10).clamp(0, 1))
    metrics = measured(Reconstruction(nn.Identity(), specification), [Batch(noisy, clean, torch.arange(5))])

    ignite = PSNR(1.0)
    ignite.update((specification.to_unit(noisy), specification.to_unit(clean)))
    assert metrics["psnr_of_input"] == pytest.approx(metrics["psnr"], rel=1e-5)
    assert metrics["psnr_of_input"] == pytest.approx(ignite.compute(), rel=1e-5)


def test_where_nothing_can_be_compared_there_is_no_such_metric():
    for target in (None, TargetImage(ImageSpecification((3, 12, 12)))):
        module = Reconstruction(nn.Identity(), ImageSpecification(SHAPE, target=target))
        assert "psnr_of_input" not in module.metrics(CPU)
