import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from firebox.benchmarks import baseline
from firebox.models.cae_baseline import CAEBaseline
from firebox.models.convolution import DoublingConvolution
from firebox.models.linear_autoencoder import LinearAutoencoder
from firebox.models.linear_vae import LinearVAE
from firebox.models.vae_baseline import VAEBaseline

SHAPES = [(channels, *sides) for channels in (1, 3) for sides in ((28, 28), (29, 31), (8, 8), (17, 23))]
STAGES = [(4,), (4, 6), (4, 6, 8)]
CONVOLUTIONAL = [CAEBaseline, VAEBaseline]
LINEAR = [LinearAutoencoder, LinearVAE]
PLAIN = [CAEBaseline, LinearAutoencoder]
VARIATIONAL = [VAEBaseline, LinearVAE]


@pytest.mark.parametrize("input_shape", SHAPES)
@pytest.mark.parametrize("channels", STAGES)
@pytest.mark.parametrize("model_class", CONVOLUTIONAL)
def test_convolutional_output_has_the_input_shape(model_class, channels, input_shape):
    model = model_class(input_shape, channels=channels, latent_dim=5)
    images = torch.rand(2, *input_shape)

    assert model(images).shape == images.shape
    assert model.embed(images).shape == (2, 5)


@pytest.mark.parametrize("input_shape", SHAPES)
@pytest.mark.parametrize("model_class", LINEAR)
def test_linear_output_has_the_input_shape(model_class, input_shape):
    model = model_class(input_shape, latent_dim=5)
    images = torch.rand(2, *input_shape)

    assert model(images).shape == images.shape
    assert model.embed(images).shape == (2, 5)


@pytest.mark.parametrize("model_class", CONVOLUTIONAL)
def test_sides_can_be_halved_down_to_one_pixel(model_class):
    model = model_class((1, 8, 5), channels=(4, 4, 4), latent_dim=2)

    assert model(torch.rand(2, 1, 8, 5)).shape == (2, 1, 8, 5)


@pytest.mark.parametrize("model_class", CONVOLUTIONAL)
@pytest.mark.parametrize(
    ("input_shape", "channels", "message"),
    [
        ((1, 28, 28), (4,) * 6, "channels: got 6 stages for 28x28 images, expected 1 to 5 "),
        ((3, 64, 8), (4,) * 4, "channels: got 4 stages for 64x8 images, expected 1 to 3 "),
        ((1, 17, 16), (4,) * 5, "channels: got 5 stages for 17x16 images, expected 1 to 4 "),
        ((1, 28, 28), (), "channels: got 0 stages for 28x28 images, expected 1 to 5 "),
        ((1, 1, 28), (4,), "channels: got 1 stage for 1x28 images, expected larger images "),
    ],
)
def test_impossible_stages_are_refused_with_a_way_out(model_class, input_shape, channels, message):
    with pytest.raises(ValueError) as refusal:
        model_class(input_shape, channels=channels)

    assert str(refusal.value).startswith(message)
    assert "each stage halves both sides" in str(refusal.value)
    assert "name one channel count for each stage" in str(refusal.value)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_cae_computes_what_the_plain_layers_of_torch_do(memory_format):
    network = baseline.network()
    model = CAEBaseline((1, 28, 28), channels=(16, 32), latent_dim=64, output_activation="sigmoid")
    baseline.copy_weights(network, model)
    images = torch.rand(4, 1, 28, 28)

    torch.testing.assert_close(model.to(memory_format=memory_format)(images), network(images))


def test_cae_draws_the_initial_weights_of_the_plain_layers():
    network = baseline.network()
    torch.manual_seed(0)
    model = CAEBaseline((1, 28, 28), channels=(16, 32), latent_dim=64)

    assert all(map(torch.equal, model.parameters(), network.parameters()))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize(("size", "doubled"), [((1, 1), (1, 2)), ((4, 5), (8, 9)), ((4, 5), (7, 10)), ((3, 3), (6, 6))])
def test_doubling_convolution_is_the_transposed_convolution(size, doubled, outputs, memory_format):
    layer = DoublingConvolution(3, outputs, doubled).double().to(memory_format=memory_format)
    images = torch.randn(5, 3, *size, dtype=torch.double).to(memory_format=memory_format).requires_grad_()
    made = layer(images)
    expected = nn.ConvTranspose2d.forward(layer, images)
    direction = torch.randn_like(expected)
    given = [images, *layer.parameters()]

    assert made.shape == (5, outputs, *doubled)
    torch.testing.assert_close(made, expected)
    gradients, expected_gradients = (torch.autograd.grad(output, given, direction) for output in (made, expected))
    torch.testing.assert_close(gradients, expected_gradients)


def test_in_channels_last_an_autoencoder_copies_no_image_into_another_memory_format():
    model = CAEBaseline((1, 28, 28), channels=(16, 32), latent_dim=64).to(memory_format=torch.channels_last)
    images = torch.rand(4, 1, 28, 28)
    with torch.profiler.profile(record_shapes=True) as profile:
        model(images).square().mean().backward()

    copied = [event.input_shapes[0] for event in profile.events() if event.name == "aten::copy_"]
    assert [4, 9, 14, 14] in copied, "the copy that fold needs"
    assert [4, 32, 7, 7] not in copied


@pytest.mark.parametrize("model_class", PLAIN)
def test_forward_is_decode_of_encode(model_class):
    model = model_class((1, 9, 8), latent_dim=5)
    images = torch.rand(3, 1, 9, 8)

    assert torch.equal(model(images), model.decode(model.encode(images)))
    assert torch.equal(model.embed(images), model.encode(images))


@pytest.mark.parametrize("model_class", VARIATIONAL)
def test_forward_is_decode_of_the_mean(model_class):
    model = model_class((1, 9, 8), latent_dim=5)
    images = torch.rand(3, 1, 9, 8)
    mean, log_variance = model.encode(images)

    assert mean.shape == log_variance.shape == (3, 5)
    assert torch.equal(model.embed(images), mean)
    assert torch.equal(model(images), model.decode(mean))


@pytest.mark.parametrize("model_class", CONVOLUTIONAL)
@pytest.mark.parametrize(("activation", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_decode_stays_in_the_range_of_the_output_activation(model_class, activation, low, high):
    model = model_class((1, 8, 8), channels=(4,), latent_dim=5, output_activation=activation)
    images = model.decode(1000 * torch.randn(8, 5))

    assert model.output_activation == activation
    assert low <= images.min() < (low + high) / 2 < images.max() <= high


@pytest.mark.parametrize("model_class", CONVOLUTIONAL)
def test_linear_output_is_unbounded(model_class):
    model = model_class((1, 8, 8), channels=(4,), latent_dim=5, output_activation="linear")

    assert model.decode(1000 * torch.randn(8, 5)).abs().max() > 1


def test_dropout_acts_while_training_only():
    model = CAEBaseline((1, 8, 8), channels=(4,), latent_dim=32, dropout=0.5)
    latents = torch.randn(2, 32)

    assert not torch.equal(model.decode(latents), model.decode(latents))
    model.eval()
    assert torch.equal(model.decode(latents), model.decode(latents))


def test_no_dropout_draws_no_random_numbers():
    model = CAEBaseline((1, 8, 8), channels=(4,))
    before = torch.get_rng_state()
    model(torch.rand(2, 1, 8, 8, generator=torch.Generator()))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("model_class", VARIATIONAL)
def test_reparameterise_draws_the_posterior_from_the_default_generator(model_class):
    model = model_class((1, 8, 8), latent_dim=2)
    mean = torch.tensor([[3.0, -1.0]]).expand(20000, 2)
    log_variance = torch.tensor([[0.0, -4.0]]).expand(20000, 2)
    torch.manual_seed(0)
    latents = model.reparameterise(mean, log_variance)

    torch.testing.assert_close(latents.mean(dim=0), torch.tensor([3.0, -1.0]), atol=0.03, rtol=0)
    torch.testing.assert_close(latents.std(dim=0), torch.tensor([1.0, 0.1353]), rtol=0.03, atol=0)
    torch.manual_seed(0)
    assert torch.equal(latents, model.reparameterise(mean, log_variance))


def test_extreme_encoder_outputs_keep_the_loss_and_its_gradients_finite():
    model = VAEBaseline((1, 8, 8), channels=(4,), latent_dim=3)
    mean, log_variance = model.encode(1e6 * torch.randn(16, 1, 8, 8))
    model.decode(model.reparameterise(mean, log_variance)).square().mean().backward()

    assert log_variance.abs().max() <= 20
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_linear_vae_starts_from_the_prior_variance_for_every_image():
    model = LinearVAE((1, 8, 8), latent_dim=3)
    _, log_variance = model.encode(torch.rand(4, 1, 8, 8))

    assert torch.equal(log_variance, torch.zeros(4, 3))
    log_variance.sum().backward()
    assert torch.equal(model.log_variance.grad, torch.full((3,), 4.0))


@pytest.mark.parametrize("model_class", LINEAR)
def test_linear_model_is_affine_in_the_images(model_class):
    model = model_class((3, 9, 8), latent_dim=5)
    first, second = torch.randn(2, 1, 3, 9, 8)

    torch.testing.assert_close(model(0.25 * first + 0.75 * second), 0.25 * model(first) + 0.75 * model(second))


def test_linear_autoencoder_reaches_the_reconstruction_error_of_pca():
    torch.manual_seed(0)
    images = torch.randn(256, 1, 4, 4) * torch.linspace(0.1, 2.0, 16).view(4, 4) + 1
    pixels = images.flatten(1)
    singular_values = torch.linalg.svdvals(pixels - pixels.mean(dim=0))
    pca_error = singular_values[3:].square().sum() / images.numel()

    model = LinearAutoencoder((1, 4, 4), latent_dim=3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = nn.functional.mse_loss(model(images), images)
        error.backward()
        return error

    optimizer.step(loss)

    torch.testing.assert_close(loss().detach(), pca_error, rtol=1e-4, atol=0)


@pytest.mark.parametrize("model_class", CONVOLUTIONAL + LINEAR)
def test_model_is_built_and_run_without_memory(model_class):
    with torch.device("meta"):
        model = model_class((3, 29, 31))
    assert model(torch.empty(2, 3, 29, 31, device="meta")).shape == (2, 3, 29, 31)

    with FakeTensorMode():
        model = model_class((3, 29, 31))
        images = torch.empty(2, 3, 29, 31)
        assert model(images).shape == images.shape
        assert model.embed(images).shape == (2, model.latent_dim)


@pytest.mark.parametrize("model_class", CONVOLUTIONAL + LINEAR)
def test_channels_last_changes_no_value(model_class):
    model = model_class((3, 9, 8))
    images = torch.rand(2, 3, 9, 8)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)

    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize("model_class", CONVOLUTIONAL + LINEAR)
def test_state_dict_holds_tensors_only_and_restores_the_outputs(model_class):
    model, other = model_class((1, 9, 8)), model_class((1, 9, 8))
    images = torch.rand(2, 1, 9, 8)
    state = model.state_dict()
    other.load_state_dict(state)

    assert all(isinstance(value, Tensor) for value in state.values())
    assert torch.equal(other(images), model(images))


@pytest.mark.parametrize("model_class", CONVOLUTIONAL + LINEAR)
def test_constructor_takes_lists_as_configurations_give_them(model_class):
    options = {"channels": [4, 6]} if model_class in CONVOLUTIONAL else {}
    model = model_class([1, 9, 8], latent_dim=3, **options)

    assert model(torch.rand(2, 1, 9, 8)).shape == (2, 1, 9, 8)
