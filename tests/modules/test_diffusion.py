"""The diffusion modules: what they predict and leave out, how they guide; the rest is in test_diffusion_exact."""

import math

import numpy
import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.models.diffusion_unet import DiffusionUNet
from firebox.modules.ddpm import DDPM
from firebox.modules.flow_matching import FlowMatching
from firebox.modules.metrics import MeanByInterval
from firebox.modules.noise_levels import Epsilon, Levels, V, Velocity, alpha_bars

SHAPE = (1, 8, 8)
SPECIFICATION = ImageSpecification(SHAPE, "[-1,1]", ("zero", "one", "two"))
CPU = torch.device("cpu")


class Recording(torch.nn.Module):
    """Predicts the mean of its class's number and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.dropout = torch.nn.Dropout(0.5)
        self.given = []

    def forward(self, images, times=None, labels=None):
        self.given.append((images.detach(), times, labels))
        classes = torch.full((len(images),), 3) if labels is None else labels
        return self.dropout(torch.ones_like(images)) * self.scale * classes.view(-1, 1, 1, 1)


def batch_of(count):
    torch.manual_seed(0)
    return Batch(torch.rand(count, *SHAPE) * 2 - 1, torch.arange(count) % 3, torch.arange(count))


def update_of(module):
    return Update({"main": torch.optim.SGD(module.parameters()["main"], lr=0.0)}, device=CPU)


@pytest.mark.parametrize(
    ("prediction", "signal", "noise"), [(Epsilon(), 0.6, 0.8), (V(), 0.6, 0.8), (Velocity(), 0.3, 0.7)]
)
def test_an_exact_prediction_gives_back_image_and_noise(prediction, signal, noise):
    image, epsilon = torch.randn(2, 5, *SHAPE).double()
    level = Levels(*(torch.tensor(value).double() for value in (0.5, signal, noise)))

    noisy = level.corrupted(image, epsilon)
    target = prediction.target(image, epsilon, *level.factors())
    estimate = prediction.estimate(target, noisy, *level.factors())
    torch.testing.assert_close(estimate.clean, image)
    torch.testing.assert_close(estimate.epsilon, epsilon)
    wrong = prediction.estimate(-target, noisy, *level.factors())
    assert not torch.allclose(wrong.clean, image) and not torch.allclose(wrong.clean, noisy)


def test_the_schedules_are_those_of_their_papers():
    linear, cosine = alpha_bars("linear", 1000), alpha_bars("cosine", 1000)

    assert linear[0] == cosine[0] == 1
    assert float(linear[-1]) == pytest.approx(4.04e-5, rel=1e-2)
    assert cosine[500] == pytest.approx(
        (math.cos(0.508 / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    )
    assert 0 < cosine[-1] < 1e-8
    zero = alpha_bars("linear", 1000, zero_terminal_snr=True)
    assert zero[-1] == 0 and float(zero[1]) == pytest.approx(float(linear[1])) and (numpy.diff(zero) < 0).all()


@pytest.mark.parametrize("kind", [FlowMatching, DDPM])
def test_training_spreads_its_times_and_leaves_out_as_many_labels_as_it_is_told(kind):
    model = Recording()
    module = kind(model, SPECIFICATION, label_dropout=0.25)
    batch = batch_of(1000)
    module.training_step(batch, update_of(module))

    _, times, labels = model.given[-1]
    assert torch.histc(times, 10, 0, 1).tolist() == pytest.approx([100] * 10, abs=1)
    dropped = labels == 3
    assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.05)
    assert torch.equal(labels[~dropped], batch.targets[~dropped])
    kind(model, SPECIFICATION, label_dropout=0.0).training_step(batch, update_of(module))
    assert torch.equal(model.given[-1][2], batch.targets)


def test_evaluation_leaves_out_no_label_and_draws_nothing():
    model = Recording().eval()
    module = FlowMatching(model, SPECIFICATION, label_dropout=0.9)
    batch = batch_of(20)
    torch.manual_seed(1)
    first = module.evaluation_step(batch)
    torch.manual_seed(2)
    second = module.evaluation_step(batch)

    assert torch.equal(first.losses["loss"], second.losses["loss"])
    assert torch.equal(model.given[-1][2], batch.targets)


def test_guidance_moves_away_from_the_prediction_for_no_class():
    model = Recording()
    module = FlowMatching(model, SPECIFICATION, sampler="euler", sampling_steps=1)
    noise, labels = torch.randn(3, *SHAPE), torch.tensor([0, 1, 2])

    def moved(scale):
        *_, last = module.trajectory(noise, labels, guidance_scale=scale)
        return (last.images - noise).mean((1, 2, 3)).tolist()

    # The model predicts the number of its class as the velocity, and 3 for none.
    assert moved(1.0) == pytest.approx([0, 1, 2], abs=1e-6)
    assert moved(0.0) == pytest.approx([3, 3, 3])
    assert moved(2.0) == pytest.approx([-3, -1, 1], abs=1e-5)


def test_dropout_is_off_while_images_are_drawn_and_on_again_afterwards():
    model = Recording().train()
    module = FlowMatching(model, SPECIFICATION, sampling_steps=3)

    first, second = (module.sample(6, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert model.training and model.dropout.training
    assert not torch.equal(*(model(first) for _ in range(2)))


def test_heun_calls_the_network_twice_in_every_step_but_the_last():
    counts = {}
    for sampler in ("euler", "heun", "ddim"):
        model = Recording()
        FlowMatching(model, SPECIFICATION, sampler=sampler, sampling_steps=4).sample(2, torch.Generator())
        counts[sampler] = len(model.given)
    assert counts == {"euler": 4, "heun": 7, "ddim": 4}


def test_the_pictures_are_samples_of_the_batchs_classes_and_moments_of_their_sampling():
    module = DDPM(DiffusionUNet(SHAPE, 3, channels=(4,), blocks=1, embedding_dim=4), SPECIFICATION, sampling_steps=20)
    batch = batch_of(5)
    torch.manual_seed(3)
    pictures = module.images(batch)

    assert [len(rows) for rows in pictures.values()] == [1, 8, 8]
    assert torch.equal(pictures["samples"].given, batch.targets)
    assert all(0 <= row.min() <= row.max() <= 1 and row.shape == (5, *SHAPE) for row in pictures["estimates"])
    assert torch.equal(pictures["samples"][0], pictures["trajectory"][-1])
    torch.manual_seed(3)
    assert torch.equal(module.images(batch)["samples"][0], pictures["samples"][0])


def test_the_mean_by_interval_is_that_of_all_that_fell_into_it():
    metric = MeanByInterval(2, device=CPU)
    metric.update((torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.9])))
    metric.update((torch.tensor([4.0]), torch.tensor([0.6])))
    assert metric.compute().tolist() == [1, 3]
    metric.reset()
    metric.update((torch.tensor([4.0]), torch.tensor([0.6])))
    assert metric.compute().isnan().tolist() == [True, False]
