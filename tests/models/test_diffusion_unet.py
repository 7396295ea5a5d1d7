import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from firebox.models.conditioned_block import ConditionedBlock
from firebox.models.diffusion_unet import DiffusionUNet
from firebox.models.spatial_attention import SpatialAttention
from firebox.models.time_embedding import TimeEmbedding


def trained(model: torch.nn.Module) -> torch.nn.Module:
    """Moves the parameters off the zeros that they begin with."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("input_shape", [(1, 28, 28), (3, 8, 12)])
@pytest.mark.parametrize("channels", [(6,), (4, 8)])
def test_the_output_has_the_shape_of_the_images_and_begins_at_zero(channels, input_shape):
    model = DiffusionUNet(input_shape, 5, channels=channels, blocks=1, embedding_dim=8)
    images, times, labels = torch.randn(2, *input_shape), torch.rand(2), torch.tensor([0, 5])

    assert torch.equal(model(images, times, labels), torch.zeros_like(images))
    assert trained(model)(images, times, labels).shape == images.shape
    assert model(images).shape == images.shape


def test_time_and_class_make_a_difference_and_no_label_is_the_last_one():
    model = trained(DiffusionUNet((1, 8, 8), 3, channels=(4, 8), blocks=1, embedding_dim=8))
    image, time = torch.randn(1, 1, 8, 8), torch.tensor([0.5])

    by_class = [model(image, time, torch.tensor([label])) for label in range(4)]
    assert all(not torch.allclose(by_class[0], other) for other in by_class[1:])
    assert torch.equal(model(image, time), by_class[3])
    assert not torch.allclose(model(image, torch.tensor([0.6])), by_class[3])
    assert torch.equal(model(image), model(image, torch.zeros(1)))


def test_data_without_classes_needs_no_labels():
    model = trained(DiffusionUNet((1, 8, 8), 0, channels=(4,), blocks=1, embedding_dim=8))

    assert model.label is None
    assert model(torch.randn(2, 1, 8, 8), torch.rand(2)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("sides", "stages", "expected"),
    [((28, 28), 3, "expected 1 to 2"), ((12, 32), 3, "expected 1 to 2"), ((27, 28), 1, "expected even sides")],
)
def test_sides_that_cant_be_halved_without_a_rest_are_refused(sides, stages, expected):
    with pytest.raises(
        ValueError, match=rf"^channels: got {stages} stages? for {sides[0]}x{sides[1]} images.*{expected}"
    ):
        DiffusionUNet((1, *sides), 10, channels=(4,) * stages)


def test_attention_lets_every_pixel_see_every_other_and_begins_as_its_shortcut():
    images = torch.randn(1, 6, 4, 4)
    layer = SpatialAttention(6)
    assert torch.equal(layer(images), images)

    trained(layer)
    images.requires_grad_()
    layer(images)[0, :, 0, 0].sum().backward()
    assert (images.grad.abs().sum(1) > 0).all()


def test_attention_in_heads_is_torchs_own():
    layer = trained(SpatialAttention(64))
    reference = torch.nn.MultiheadAttention(64, 2, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(layer.projections.weight.flatten(1))
        reference.in_proj_bias.copy_(layer.projections.bias)
        reference.out_proj.weight.copy_(layer.output.weight.flatten(1))
        reference.out_proj.bias.copy_(layer.output.bias)
    images = torch.randn(2, 64, 3, 5)

    pixels = layer.normalisation(images).flatten(2).transpose(1, 2)
    attended, _ = reference(pixels, pixels, pixels)
    torch.testing.assert_close(layer(images), images + attended.transpose(1, 2).view_as(images))


def test_a_block_begins_as_its_shortcut_and_is_scaled_and_shifted_by_the_embedding():
    block, images = ConditionedBlock(4, 4, 3), torch.randn(2, 4, 5, 5)
    assert torch.equal(block(images, torch.randn(2, 3)), images)

    trained(block)
    embedding = torch.randn(2, 3)
    scale, shift = block.condition(embedding)[..., None, None].chunk(2, dim=1)
    hidden = block.normalisation(block.first(images)) * (1 + scale) + shift
    torch.testing.assert_close(block(images, embedding), images + block.second(hidden))


def test_nearby_times_have_nearby_embeddings_and_no_two_the_same():
    embedding = TimeEmbedding(16)
    times = torch.linspace(0, 1, 101)
    waves = (times.unsqueeze(1) * embedding.frequencies).sin()

    distances = torch.cdist(waves, waves).fill_diagonal_(torch.inf)
    assert distances.min() > 0.05
    assert embedding.frequencies[0] == 1 and float(embedding.frequencies[-1]) == pytest.approx(1000)
    assert embedding(times).shape == (101, 16) and "frequencies" not in embedding.state_dict()


def test_the_model_is_built_and_run_without_memory():
    with FakeTensorMode():
        model = DiffusionUNet((1, 28, 28), 10)
        assert model(torch.randn(2, 1, 28, 28), torch.rand(2)).shape == (2, 1, 28, 28)
