"""Grids of images, as PNG files and in TensorBoard."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from firebox.engine.training.bases.showing import RIGHT, WRONG, Shown, draw
from firebox.foundation.pictures import BORDER, GAP, LINE, SMALLEST, WIDEST, Words, encode, enlargement, grid
from firebox.handlers.image_dump import remove_after
from tests.handlers.runs import begun, configured, cut_off, ended, stopped, tensorboard_of, trained

HANDLERS = {"image_dump": {"count": 10}, "evaluation": {}, "checkpoint": {"every": "5 iterations"}}


def pictures_of(run):
    folder = run.directory.images
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def enlarged(pixels):
    """Returns the 8x8 image at the upper left corner, which is enlarged by 8; every block has to be of one colour."""
    blocks = pixels[:SMALLEST, :SMALLEST].reshape(8, 8, 8, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0]


def test_each_split_is_shown_at_intervals_and_the_test_split_at_the_end(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))

    assert list(pictures_of(run)) == [
        "test/iteration_00000018_reconstruction.png",
        "train/iteration_00000009_reconstruction.png",
        "train/iteration_00000018_reconstruction.png",
        "validation/iteration_00000009_reconstruction.png",
        "validation/iteration_00000018_reconstruction.png",
    ]


def test_a_file_shows_the_first_images_above_their_reconstructions(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    shown = np.asarray(Image.open(run.directory.images / "train/iteration_00000018_reconstruction.png"))
    first = run.streams["train"].first(10)
    with run.evaluating() as model, torch.inference_mode():
        reconstructions = (model(run.preparation(first).images).clamp(0, 1) * 255).round().to(torch.uint8)

    side, words = SMALLEST + BORDER, LINE + GAP  # images of 8x8, enlarged by 8, above the name of their class
    block = 2 * side + words
    assert shown.shape == (BORDER + 2 * block, BORDER + 8 * side)
    for index in range(10):
        top, left = BORDER + block * (index // 8), BORDER + side * (index % 8)
        assert np.array_equal(enlarged(shown[top:, left:]), first.images[index, 0])
        assert np.array_equal(enlarged(shown[top + side :, left:]), reconstructions[index, 0])
        assert (shown[top + 2 * side :, left : left + SMALLEST][:LINE] < 128).any(), "the name of the class"
    assert (shown[BORDER + block :, BORDER + 2 * side :] == 255).all()


def test_tensorboard_reads_the_bytes_of_the_files(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))
    events = tensorboard_of(run.directory.tensorboard)

    assert set(events.Tags()["images"]) == {
        f"pictures/reconstruction/{split}" for split in ("train", "validation", "test")
    }
    for event in events.Images("pictures/reconstruction/train"):
        name = f"train/iteration_{event.step:08d}_reconstruction.png"
        assert event.encoded_image_string == pictures_of(run)[name]
        assert (event.width, event.height) == (530, 310)


@pytest.mark.parametrize("interrupt", [stopped, cut_off])
@pytest.mark.parametrize("iteration", [9, 12])
def test_a_resumed_runs_pictures_are_those_of_the_uninterrupted_run(tmp_path, interrupt, iteration):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    configuration = configured(tmp_path / "resumed", HANDLERS)
    interrupt(configuration, iteration)

    assert pictures_of(trained(configuration)) == pictures_of(reference)


def test_what_was_shown_after_the_checkpoint_is_removed(tmp_path):
    names = [
        "iteration_00000009_a.png", "iteration_00000010_a.png", "iteration_00000011_a.png",
        ".iteration_00000009_a.png.writing", "notes.txt",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    remove_after(tmp_path, 10)

    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], names[1], names[4]]


def test_dumping_changes_neither_training_nor_what_a_dump_shows(tmp_path):
    sections = {
        "model": {"name": "cae_baseline", "channels": [4], "latent_dim": 4, "dropout": 0.5},
        "training": {"epochs": 1, "device": "cpu"},
    }
    quiet, noisy = {"checkpoint": {}}, {"checkpoint": {}, "image_dump": {"every": "2 iterations", "count": 3}}
    runs = [
        ended(begun(configured(tmp_path / str(number), handlers, **sections)))
        for number, handlers in enumerate((quiet, noisy, noisy))
    ]

    for name, weight in runs[0].model.state_dict().items():
        assert torch.equal(weight, runs[1].model.state_dict()[name])
    assert runs[1].model.training
    assert pictures_of(runs[1]) == pictures_of(runs[2])


@dataclass
class Shape:
    samples: int
    pictures: int
    channels: int
    expected: tuple[int, int, int]


@pytest.mark.parametrize(
    "shape",
    [
        Shape(samples=1, pictures=1, channels=1, expected=(1, 70, 92)),
        Shape(samples=3, pictures=2, channels=3, expected=(3, 138, 272)),
        Shape(samples=9, pictures=2, channels=1, expected=(1, 274, 722)),
    ],
)
def test_a_grid_has_its_images_and_a_border_around_each(shape):
    size = (shape.samples, shape.channels, 3, 4)
    pictures = tuple(torch.rand(size) for _ in range(shape.pictures))
    tiled = grid(pictures)

    assert tuple(tiled.shape) == shape.expected
    assert tiled.dtype == torch.uint8
    assert (tiled[:, :2] == 255).all()
    pixels = (pictures[0][0] * 255).round().to(torch.uint8)
    assert torch.equal(tiled[:, 2:68, 2:90], pixels.repeat_interleave(22, 1).repeat_interleave(22, 2))


@pytest.mark.parametrize(
    ("size", "factor"), [((28, 28), 3), ((32, 32), 2), ((64, 64), 1), ((256, 300), 1), ((8, 8), 8), ((4, 100), 2)]
)
def test_images_are_enlarged_by_a_whole_factor_to_64_pixels(size, factor):
    assert enlargement(*size) == factor
    assert tuple(grid((torch.zeros(1, 1, *size),)).shape[1:]) == tuple(side * factor + 2 * BORDER for side in size)


def test_words_are_drawn_below_their_images_and_long_ones_are_cut_short():
    images = torch.zeros(2, 1, 64, 64)
    plain = grid((images,), captions=[[Words("a")], [Words("b")]])
    other = grid((images,), captions=[[Words("a")], [Words("c")]])
    long = grid((images,), captions=[[Words("name " * 50)], [Words("a\nb 犬 \x1b")]])

    assert plain.shape == (1, BORDER + 64 + BORDER + LINE + GAP, BORDER + 2 * (64 + BORDER))
    changed = (plain != other).any(0).nonzero()
    assert changed[:, 0].min() > 64 + BORDER and changed[:, 1].min() > 64 + BORDER, "only the second one's words"
    assert long.shape[2] == BORDER + 2 * WIDEST


def test_a_predicted_class_is_green_where_it_is_the_given_one_and_red_where_it_is_not():
    images, labels = torch.zeros(2, 1, 64, 64), torch.tensor([0, 1])
    drawn = draw(Shown(images, given=labels, predicted=torch.tensor([0, 0])), ("bird", "boat"))
    bands = [drawn[:, -GAP - 1, BORDER + 1 + (64 + BORDER) * number].tolist() for number in range(2)]

    assert bands == [list(RIGHT), list(WRONG)]
    assert draw(Shown(images, given=labels), ()).shape == grid((images,)).shape, "data without classes has no words"
    assert torch.equal(draw((images,), ("bird", "boat")), grid((images,)))


def test_the_scale_is_fixed_and_what_lies_outside_is_cut():
    values = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 7.0, float("nan"), float("inf")])
    pixels = np.asarray(Image.open(io.BytesIO(encode(values.view(1, 1, -1)))))

    assert pixels.tolist() == [[0, 0, 64, 128, 255, 255, 0, 255]]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_equal_pixels_are_equal_bytes(channels, mode):
    picture = torch.rand(channels, 11, 13)

    assert encode(picture) == encode(picture.clone())
    assert Image.open(io.BytesIO(encode(picture))).mode == mode


def test_what_is_drawn_does_not_depend_on_when_the_samples_were_read(tmp_path):
    for number in range(12):
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(tmp_path / f"{number:02d}.png")
    folder = {"name": "image_folder", "root": str(tmp_path), "image_size": [8, 8], "color": "grayscale"}
    sections = {"datagenerator": None, "datamodule": {**folder, "batch_size": 4}}
    sections["model"] = {"name": "linear_vae", "latent_dim": 2}
    sections["module"] = {"name": "variational", "loss": "gaussian"}
    run = begun(configured(tmp_path / "run", HANDLERS, **sections))
    dump = run.handlers["image_dump"]
    drawn = []
    for _ in range(2):
        dump._show(("train",), evaluated=())
        run.background.drain()
        drawn.append(pictures_of(run)["train/iteration_00000000_prior.png"])
    ended(run)

    assert drawn[0] == drawn[1]


def test_a_picture_of_an_evaluation_is_drawn_on_the_writing_thread(tmp_path):
    module = tmp_path / "drawing.py"
    module.write_text(
        """
import threading

import torch

from firebox.modules.reconstruction import Reconstruction


class Drawing(Reconstruction):
    def evaluation_images(self, metrics):
        shade = 200 if threading.current_thread().name == "firebox-background" else 100
        return {"at_once": torch.full((1, 4, 4), shade, dtype=torch.uint8), "later": draw}


def draw():
    shade = 200 if threading.current_thread().name == "firebox-background" else 100
    return torch.full((1, 4, 4), shade, dtype=torch.uint8)
"""
    )
    run = trained(configured(tmp_path, HANDLERS, module={"name": f"{module}:Drawing"}))

    for name, shade in (("at_once", 100), ("later", 200)):
        picture = Image.open(run.directory.images / f"validation/iteration_00000009_{name}.png")
        assert np.asarray(picture).tolist() == [[shade] * 4] * 4


def sorted_by_class(folder, classes=4, images=10):
    """Writes a folder of grey images, sorted by class: each class has its own brightness."""
    for label in range(classes):
        for number in range(images):
            path = folder / f"class_{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 60 * label + number, np.uint8)).save(path)
    return {"name": "image_folder", "root": str(folder), "image_size": [8, 8], "color": "grayscale", "batch_size": 6}


@pytest.mark.parametrize("placement", ["auto", "memory", "stream"])
def test_images_sorted_by_class_are_shown_a_class_in_turn(placement, tmp_path):
    folder = {**sorted_by_class(tmp_path / "images"), "placement": placement}
    sections = {"datagenerator": None, "datamodule": folder, "training": {"epochs": 2, "device": "cpu"}}
    run = trained(configured(tmp_path, {"image_dump": {"count": 6}}, **sections))
    shown = {
        name: np.asarray(Image.open(io.BytesIO(content)))[BORDER, BORDER :: SMALLEST + BORDER][:6] // 60
        for name, content in pictures_of(run).items()
    }

    assert len(shown) == 4
    for name, classes in shown.items():
        expected = [0, 1, 2, 3, 0, 1] if name.startswith("train") else [0, 1, 2, 3]
        assert classes[: len(expected)].tolist() == expected, name
    assert run.streams["train"].first(6).labels.tolist() == [0] * 6, "the control: the first are all of one class"
