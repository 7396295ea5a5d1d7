import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from firebox.models.unet_baseline import UNetBaseline


@pytest.mark.parametrize("input_shape", [(1, 28, 28), (3, 29, 31), (1, 8, 8), (3, 17, 23)])
@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 9)])
def test_the_output_has_the_sides_of_the_input_odd_ones_included(channels, input_shape):
    model = UNetBaseline(input_shape, 5, channels=channels)

    assert model(torch.rand(2, *input_shape)).shape == (2, 5, *input_shape[1:])
    assert model.output_activation == "linear"


def test_impossible_stages_are_refused_with_a_way_out():
    with pytest.raises(ValueError) as refusal:
        UNetBaseline((1, 8, 8), 3, channels=(4,) * 4)

    assert str(refusal.value).startswith("channels: got 4 stages for 8x8 images, expected 1 to 3 ")


def test_data_without_anything_to_predict_by_pixel_is_refused():
    with pytest.raises(ValueError, match="needs data whose samples have a mask or a target image, got none"):
        UNetBaseline((1, 8, 8), 0)


def test_a_residual_output_is_what_to_change_in_the_input():
    with pytest.raises(ValueError, match=r"^residual: got true, but .* an output of 3 channels, expected 1"):
        UNetBaseline((1, 8, 8), 3, channels=(4,), residual=True)
    images = torch.rand(2, 1, 8, 8)
    model = UNetBaseline((1, 8, 8), 1, channels=(4,), residual=True)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    assert torch.equal(model(images), images)
    model.residual = False
    assert not model(images).any()


def test_the_shortcuts_carry_what_the_stages_lose():
    model = UNetBaseline((1, 16, 16), 1, channels=(4, 6))
    images = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        model.doubling[-1].weight.zero_()
    assert varying(model(images))
    # The test can tell: with neither, no pixel differs from another.
    with torch.no_grad():
        model.up[-1][0].weight[:, :4].zero_()
    assert not varying(model(images))


def varying(output):
    """Whether the pixels differ from each other, away from the border."""
    return bool(output[:, :, 4:-4, 4:-4].std() > 1e-6)


def test_gradient_reaches_every_parameter():
    model = UNetBaseline((1, 8, 8), 3, channels=(8, 16))
    torch.nn.functional.cross_entropy(model(torch.rand(8, 1, 8, 8)), torch.arange(512).view(8, 8, 8) % 3).backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_an_image_is_treated_by_itself_and_alike_in_both_modes():
    model = UNetBaseline((1, 8, 8), 3, channels=(4, 6))
    images = torch.rand(4, 1, 8, 8)
    trained = model(images)
    model.eval()

    torch.testing.assert_close(model(images[:1]), trained[:1])


def test_it_is_built_and_run_without_memory():
    with FakeTensorMode():
        model = UNetBaseline((3, 29, 31), 10)
        assert model(torch.empty(2, 3, 29, 31)).shape == (2, 10, 29, 31)


def test_channels_last_changes_no_value():
    model = UNetBaseline((3, 9, 8), 10)
    images = torch.rand(4, 3, 9, 8)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)

    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4)


def test_state_dict_holds_tensors_only():
    assert all(isinstance(value, Tensor) for value in UNetBaseline((1, 8, 8), 3).state_dict().values())
