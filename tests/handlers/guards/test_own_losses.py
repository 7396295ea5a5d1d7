"""A loss of the user's own is compared with model and data as a shipped one is, before the first batch."""

import textwrap

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER as CAE
from firebox.trainers.train_vae_baseline import TRAINER as VAE

LOGITS = """
    from firebox import PixelLoss
    class Own(PixelLoss):
        takes = "pixel_logits"
        targets = ("[0,1]",)
        is_likelihood = True
        def per_pixel(self, output, images):
            return (output.sigmoid() - images).abs()
"""
UNIT = """
    from firebox import PixelLoss
    class Own(PixelLoss):
        targets = ("[0,1]", "[-1,1]")
        def per_pixel(self, output, images):
            return (output - images).abs()
"""
STRICT = """
    from firebox import PixelLoss
    class Own(PixelLoss):
        def __init__(self, *, epsilon: float = 0.001):
            if epsilon > 1:
                raise ValueError(f"epsilon: got {epsilon}, expected at most 1")
        def per_pixel(self, output, images):
            return (output - images).abs()
"""
NONE = "class Own:\n    pass\n"


def checked(folder, source, *assignments, trainer=CAE, module="reconstruction", settings=""):
    (folder / "own.py").write_text(textwrap.dedent(source))
    path = folder / "x.yaml"
    path.write_text(f"module:\n  name: {module}\n  loss: {{name: 'own.py:Own'{settings}}}\ntraining: {{device: cpu}}\n")
    preflight(read(trainer.name, trainer.default, path, [*assignments, f"output.root={folder / 'runs'}"]), trainer)


def refused(folder, *arguments, **settings):
    with pytest.raises(Refusal) as caught:
        checked(folder, *arguments, **settings)
    (problem,) = caught.value.problems
    return str(problem).removeprefix(f"{folder}/")


def test_an_output_that_is_no_logit_is_refused_with_a_loss_that_fits(tmp_path):
    line = refused(tmp_path, LOGITS)
    assert "model.output_activation: got sigmoid, but the loss Own takes the output for logits" in line
    assert line.endswith("or --set module.loss=mse")
    checked(tmp_path, LOGITS, "model.output_activation=linear")
    checked(tmp_path, LOGITS, "module.loss=mse")


def test_the_loss_that_is_proposed_fits_the_module(tmp_path):
    line = refused(tmp_path, LOGITS, "model.output_activation=sigmoid", trainer=VAE, module="variational")
    assert line.endswith("or --set module.loss=gaussian")


def test_pixels_out_of_the_range_of_its_targets_are_refused(tmp_path):
    assignments = ("model.output_activation=linear", "datamodule.pixel_range=standardised")
    line = refused(tmp_path, UNIT, *assignments)
    assert line.startswith(
        "x.yaml:3:9  module.loss: got Own, which takes pixels in [0,1] or [-1,1], but datamodule.pixel"
    )
    assert line.endswith('expected --set datamodule.pixel_range="[0,1]", or --set module.loss=mse')
    checked(tmp_path, UNIT, *assignments, "module.loss=mse")
    checked(tmp_path, UNIT, "model.output_activation=linear", "datamodule.pixel_range=[-1, 1]")


def test_logits_and_pixels_that_are_no_probabilities_are_refused(tmp_path):
    line = refused(tmp_path, LOGITS, "model.output_activation=linear", "datamodule.pixel_range=standardised")
    assert "module.loss: got Own, which takes pixels for probabilities, but datamodule.pixel_range is standard" in line


def test_what_its_constructor_refuses_stands_at_the_setting(tmp_path):
    line = refused(tmp_path, STRICT, settings=", epsilon: 2.0")
    assert line == "x.yaml:3:39  module.loss.epsilon: got 2.0, expected at most 1"


def test_a_number_that_float32_lacks_is_refused_in_a_loss_too(tmp_path):
    line = refused(tmp_path, STRICT, settings=", epsilon: 1.0e-300")
    assert line.startswith("x.yaml:3:39  module.loss.epsilon: got 1e-300, expected 0 or a number between")


def test_what_is_no_pixel_loss_is_refused(tmp_path):
    line = refused(tmp_path, NONE)
    assert line == (
        "x.yaml:3:9  module.loss: got Own, expected a PixelLoss: from firebox import PixelLoss, "
        "and derive your class from it"
    )


def test_a_loss_that_is_no_likelihood_is_refused_by_variational(tmp_path):
    line = refused(tmp_path, UNIT, trainer=VAE, module="variational")
    assert line.startswith("x.yaml:3:9  module.loss: got Own, which is no log-likelihood; expected bce, gaussian")


def test_a_loss_that_fails_on_the_images_is_refused_as_the_modules(tmp_path):
    line = refused(tmp_path, UNIT.replace("output - images", "output - images[:, :, 1:]"))
    assert "module.name: a training step with" in line
