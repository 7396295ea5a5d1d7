"""The module for codes: its pictures, its metrics' names, and a precision lower than the codebook's."""

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.foundation.usage_plot import draw_usage
from firebox.models.vqvae_baseline import VQVAEBaseline
from firebox.modules.vector_quantised import VectorQuantised, code_colours

SHAPE = (1, 9, 8)


def quantised():
    torch.manual_seed(0)
    model = VQVAEBaseline(SHAPE, channels=(4,), embedding_dim=3, num_embeddings=6)
    return VectorQuantised(model, ImageSpecification(SHAPE)), Batch(torch.rand(5, *SHAPE), None, torch.arange(5))


def stepped(module, batch, precision=None):
    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=0.1)}, device=torch.device("cpu"))
    update.begin(1)
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        return module.training_step(batch, update)


def test_the_codebook_is_no_parameter_of_the_optimizer():
    module, _ = quantised()
    assert all(p is not module.model.codebook.embeddings for p in module.parameters()["main"])


def test_a_step_in_a_lower_precision_keeps_the_codebook_in_its_own():
    module, batch = quantised()
    losses = stepped(module, batch, torch.bfloat16)
    assert set(losses) == {"loss", "reconstruction", "commitment"}
    assert float(losses["loss"]) == pytest.approx(float(losses["reconstruction"] + 0.25 * losses["commitment"]))
    assert {tensor.dtype for tensor in module.model.codebook.state_dict().values()} == {torch.float32}
    assert module.model.codebook.embeddings.isfinite().all()


def test_images_are_input_reconstruction_and_a_map_with_a_colour_for_each_code():
    module, batch = quantised()
    stepped(module, batch)
    with torch.no_grad():
        images, reconstruction, maps = module.images(batch)["reconstruction"]
        codes = module.model.quantise(module.model.encode(batch.images))[1]
    assert torch.equal(images, batch.images) and reconstruction.shape == images.shape
    assert maps.shape == (5, 3, 9, 8)
    colours = {tuple(colour) for colour in maps.movedim(1, -1).flatten(0, 2).tolist()}
    assert len(colours) == len(codes.unique()) > 1


def test_vectors_that_are_alike_have_like_colours():
    vectors = torch.tensor([[0.0, 0, 0, 0], [0.01, 0, 0, 0], [5.0, 1, 0, 0], [0.0, 4, 3, 1]])
    colours = code_colours(vectors)
    assert colours.shape == (4, 3) and 0 <= float(colours.min()) < float(colours.max()) <= 1
    distances = torch.cdist(colours, colours)
    assert float(distances[0, 1]) < 0.01 < 0.2 < float(distances[0, 2:].min())
    assert code_colours(torch.randn(5, 2)).shape == (5, 3)
    assert torch.equal(code_colours(torch.randn(1, 2)), torch.full((1, 3), 0.5))


def test_the_usage_of_a_codebook_is_drawn_with_its_codes_that_are_dead():
    usage = draw_usage(torch.tensor([5, 0, 900, 30]))
    assert usage.dtype == torch.uint8 and usage.shape[0] == 3
    assert not torch.equal(usage, draw_usage(torch.tensor([5, 1, 900, 30])))
