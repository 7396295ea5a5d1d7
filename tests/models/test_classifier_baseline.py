import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from firebox.models.classifier_baseline import ClassifierBaseline


@pytest.mark.parametrize("input_shape", [(1, 28, 28), (3, 29, 31), (1, 8, 8), (3, 17, 23)])
@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8)])
def test_logits_have_one_column_per_class(channels, input_shape):
    model = ClassifierBaseline(input_shape, 7, channels=channels)

    assert model(torch.rand(2, *input_shape)).shape == (2, 7)
    assert model.num_classes == 7
    assert model.output_activation == "linear"


def test_impossible_stages_are_refused_with_a_way_out():
    with pytest.raises(ValueError) as refusal:
        ClassifierBaseline((1, 8, 8), 10, channels=(4,) * 4)

    assert str(refusal.value).startswith("channels: got 4 stages for 8x8 images, expected 1 to 3 ")


def test_gradient_reaches_every_parameter():
    model = ClassifierBaseline((1, 8, 8), 3, channels=(4, 6))
    torch.nn.functional.cross_entropy(model(torch.rand(8, 1, 8, 8)), torch.arange(8) % 3).backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_evaluation_treats_each_image_by_itself():
    model = ClassifierBaseline((1, 8, 8), 3, channels=(4, 6), dropout=0.5)
    images = torch.rand(4, 1, 8, 8)
    model(images)
    model.eval()

    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_dropout_acts_while_training():
    model = ClassifierBaseline((1, 8, 8), 3, channels=(32,), dropout=0.5)
    images = torch.rand(4, 1, 8, 8)

    assert not torch.equal(model(images), model(images))


def test_classifier_is_built_and_run_without_memory():
    with torch.device("meta"):
        model = ClassifierBaseline((3, 29, 31), 10)
    assert model(torch.empty(2, 3, 29, 31, device="meta")).shape == (2, 10)

    with FakeTensorMode():
        model = ClassifierBaseline((3, 29, 31), 10)
        assert model(torch.empty(2, 3, 29, 31)).shape == (2, 10)


def test_channels_last_changes_no_value():
    model = ClassifierBaseline((3, 9, 8), 10)
    images = torch.rand(4, 3, 9, 8)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)

    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4)


def test_state_dict_holds_tensors_only():
    assert all(isinstance(value, Tensor) for value in ClassifierBaseline((1, 8, 8), 3).state_dict().values())
