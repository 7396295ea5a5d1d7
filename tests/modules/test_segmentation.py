"""The segmentation module: losses, what is left out of them, metrics by class, and the pictures."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Mask
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.foundation.pictures import MASK_COLOURS, WHITE
from firebox.foundation.plots import draw_confusion_matrix
from firebox.modules.metrics import names_in_metrics
from firebox.modules.segmentation import Segmentation

SHAPE = (1, 4, 6)
NAMES = ("road", "grass", "sky")
IGNORED = 255
CPU = torch.device("cpu")


class Fixed(nn.Module):
    """Answers with the logits that it holds, by the images' order, whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.shown = 0

    def forward(self, images):
        start = self.shown % len(self.logits)
        self.shown += len(images)
        return self.logits[start : start + len(images)]


def segmentation(logits, ignored=IGNORED, names=NAMES, **settings):
    return Segmentation(Fixed(logits), ImageSpecification(SHAPE, "[-1,1]", target=Mask(names, ignored)), **settings)


def batch_of(masks):
    return Batch(torch.rand(len(masks), *SHAPE) * 2 - 1, masks, torch.arange(len(masks)))


@pytest.fixture
def masks():
    """Of four images, the second partly and the last wholly ignored."""
    masks = torch.randint(0, 3, (4, 4, 6), generator=torch.Generator().manual_seed(3))
    masks[1, :2] = IGNORED
    masks[3] = IGNORED
    return masks


def by_hand(logits, mask, loss, weights=(1.0, 1.0, 1.0)):
    """Returns the loss of one image, pixel by pixel."""
    pixels = [(logits[:, y, x], int(mask[y, x])) for y in range(4) for x in range(6) if mask[y, x] != IGNORED]
    cross_entropy = dice = 0.0
    if pixels:
        total = sum(weights[k] for _, k in pixels)
        cross_entropy = sum(-weights[k] * float(torch.log_softmax(v, 0)[k]) for v, k in pixels) / total
    for k in range(3):
        common = sum(float(v.softmax(0)[k]) for v, true in pixels if true == k)
        sizes = sum(float(v.softmax(0)[k]) for v, _ in pixels) + sum(true == k for _, true in pixels)
        dice += weights[k] * (1 - (2 * common + 1) / (sizes + 1)) / sum(weights)
    return {"cross_entropy": cross_entropy, "dice": dice, "both": cross_entropy + dice}[loss]


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "both"])
def test_losses_are_those_of_each_image_without_its_ignored_pixels(masks, loss, weights):
    logits = torch.randn(4, 3, 4, 6, generator=torch.Generator().manual_seed(4))
    module = segmentation(logits, loss=loss, class_weights=weights)
    evaluated = module.evaluation_step(batch_of(masks))
    expected = [by_hand(*pair, loss, weights or (1.0, 1.0, 1.0)) for pair in zip(logits, masks, strict=True)]
    assert evaluated.losses["loss"].tolist() == pytest.approx(expected, rel=1e-5)
    assert evaluated.losses["loss"][3] == 0
    assert list(evaluated.losses) == (["loss", "loss_cross_entropy", "loss_dice"] if loss == "both" else ["loss"])
    # The test can tell: what is ignored would change the loss if it were counted.
    masks[1, :2] = 0
    assert module.evaluation_step(batch_of(masks)).losses["loss"][1] != evaluated.losses["loss"][1]


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "both"])
def test_a_training_step_follows_the_mean_and_moves_nothing_at_ignored_pixels(masks, loss):
    logits = torch.randn(4, 3, 4, 6)
    module = segmentation(logits.clone(), loss=loss)
    before = module.evaluation_step(batch_of(masks)).losses["loss"].mean()
    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=1.0, fused=True)}, device=CPU)
    losses = module.training_step(batch_of(masks), update)
    torch.testing.assert_close(losses["loss"], before.detach())
    moved = (module.model.logits.detach() != logits).any(1)
    assert torch.equal(moved, masks != IGNORED)


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "both"])
def test_a_batch_of_ignored_pixels_alone_gives_no_nan(loss):
    module = segmentation(torch.randn(2, 3, 4, 6), loss=loss)
    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=1.0, fused=True)}, device=CPU)
    batch = batch_of(torch.full((2, 4, 6), IGNORED))
    assert all(value == 0 for value in module.training_step(batch, update).values())
    assert module.model.logits.isfinite().all()
    metrics = measured(module, [batch])
    assert torch.tensor([value for name, value in metrics.items() if name != "confusion_matrix"]).isfinite().all()


def measured(module, batches):
    module.model.shown = 0
    evaluator = Engine(lambda _, batch: module.evaluation_step(batch))
    for name, metric in module.metrics(CPU).items():
        metric.attach(evaluator, name)
    with torch.inference_mode():
        metrics = dict(evaluator.run(batches).metrics)
    return {name: value if name == "confusion_matrix" else float(value) for name, value in metrics.items()}


def test_metrics_are_those_of_the_pixels_of_all_batches(masks):
    logits = torch.randn(4, 3, 4, 6)
    module = segmentation(logits)
    metrics = measured(module, [batch_of(masks[:3]), batch_of(masks[3:])])
    predicted, counted = logits.argmax(1), masks != IGNORED
    for k, name in enumerate(NAMES):
        true, found = (masks == k) & counted, (predicted == k) & counted
        common, both = int((true & found).sum()), int(true.sum() + found.sum())
        assert metrics[f"iou_{name}"] == pytest.approx(common / (both - common))
        assert metrics[f"dice_{name}"] == pytest.approx(2 * common / both)
    for mean, each in (("mean_iou", "iou_"), ("mean_dice", "dice_")):
        assert metrics[mean] == pytest.approx(sum(metrics[each + name] for name in NAMES) / 3)
    assert metrics["confusion_matrix"].sum() == counted.sum()


def test_batches_make_no_difference_to_metrics(masks):
    logits = torch.randn(4, 3, 4, 6)
    whole, parts = (measured(segmentation(logits), list(map(batch_of, masks.split(size)))) for size in (4, 1))
    assert torch.equal(whole.pop("confusion_matrix"), parts.pop("confusion_matrix"))
    assert whole == pytest.approx(parts)


def test_means_are_over_the_classes_that_occur_or_are_predicted():
    mask = torch.zeros(1, 4, 6, dtype=torch.int64)
    mask[:, 2:] = 1
    metrics = measured(segmentation(nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2) * 9.0), [batch_of(mask)])
    assert [metrics["mean_iou"], metrics["mean_dice"]] == pytest.approx([1, 1])
    assert metrics["iou_sky"] == 0


def test_an_ignored_value_may_be_that_of_a_class():
    mask = torch.zeros(1, 4, 6, dtype=torch.int64)
    mask[:, 2:] = 1
    metrics = measured(segmentation(torch.zeros(1, 3, 4, 6), ignored=0), [batch_of(mask)])
    assert metrics["confusion_matrix"].sum() == 12


@torch.inference_mode()
def test_pictures_are_the_image_its_mask_and_the_prediction():
    mask = torch.full((1, 4, 6), IGNORED)
    mask[:, 1:] = 1
    module = segmentation(nn.functional.one_hot(mask.where(mask < 3, 2), 3).permute(0, 3, 1, 2) * 9.0)
    batch = batch_of(mask)
    image, true, predicted = module.images(batch)["segmentation"]
    assert image.shape == true.shape == predicted.shape == (1, 3, 4, 6)
    torch.testing.assert_close(image, module.specification.to_unit(batch.images).expand(-1, 3, -1, -1))
    assert torch.equal(true[:, :, 1:], predicted[:, :, 1:])

    def over(colour):
        return image * 0.4 + torch.tensor(colour).view(1, 3, 1, 1) / 255 * 0.6

    torch.testing.assert_close(true[:, :, 1:], over(MASK_COLOURS[1])[:, :, 1:])
    torch.testing.assert_close(true[:, :, :1], over(WHITE)[:, :, :1])
    torch.testing.assert_close(predicted[:, :, :1], over(MASK_COLOURS[2])[:, :, :1])


def test_the_confusion_matrix_is_drawn_with_the_classes():
    module = segmentation(torch.zeros(1, 3, 4, 6))
    counts = torch.tensor([[5, 1, 0], [0, 6, 0], [2, 2, 2]])
    pictures = module.evaluation_images({"loss": 0.1, "confusion_matrix": counts})
    assert torch.equal(pictures["confusion_matrix"](), draw_confusion_matrix(counts, NAMES))
    assert module.evaluation_images({"loss": 0.1}) == {}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("road", "ümlaut 2"), ["road", "ümlaut 2"]),
        (("road/lane", "[void]"), ["road_lane", "_void_"]),
        (("a/b", "a_b"), ["0_a_b", "1_a_b"]),
    ],
)
def test_classes_of_any_name_have_metrics_of_their_own(names, expected):
    assert names_in_metrics(names) == expected


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (("only",), {}, "needs data whose masks have two classes or more, got one"),
        (
            NAMES,
            {"class_weights": (1.0, 2.0)},
            "class_weights: got 2 weights, expected one for each of 3 classes: road, ",
        ),
        (NAMES, {"class_weights": (0.0, 0.0, 0.0)}, "class_weights: got no weight above 0, expected one for each of 3"),
    ],
)
def test_what_can_not_be_trained_on_is_refused(names, settings, message):
    with pytest.raises(ValueError, match=message):
        segmentation(torch.zeros(1, len(names), 4, 6), names=names, **settings)
    with pytest.raises(ValueError, match="needs data whose samples have a mask, got a class of 2"):
        Segmentation(Fixed(torch.zeros(1, 2)), ImageSpecification(SHAPE, classes=("a", "b")))
