"""Runs over files that hold many samples each: killed and resumed, and over other files than before."""

import json
import os
import shutil
import signal

import numpy
import pytest
import yaml

from firebox.data.division.hold_out import hold_out
from tests.data.packed_files import arrays, write_shard, write_shards
from tests.exactness import (
    Forked,
    differences,
    kill_at,
    only_run,
    output,
    rehearse,
    resumed_to_the_end,
    write_configuration,
)

COUNT, SIDE = 96, 32
HANDLERS = [
    {"checkpoint": {"every": "2 iterations", "keep_last": 2, "keep_best": 1, "monitor": "validation/loss"}},
    {"evaluation": {"every": "1 epoch"}},
    {"loss_log": {"every": "1 iteration"}},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same images as arrays and in shards."""
    root = tmp_path_factory.mktemp("data")
    images, labels = write_shards(root / "shards", count=COUNT, side=SIDE)
    numpy.save(root / "x.npy", images)
    numpy.save(root / "y.npy", labels)
    numpy.savez_compressed(root / "packed.npz", x=images)
    return root


def settings_of(kind, root):
    if kind == "shards":
        return {"name": "shards", "root": str(root / "shards"), "images": "png", "image_size": [SIDE, SIDE]}
    return {"name": "arrays", "root": str(root), "images": "x.npy" if kind == "arrays" else "packed.npz:x"}


def write(folder, kind, root, **settings):
    path = write_configuration(folder, {"training": {"epochs": 2}, "handlers": HANDLERS})
    content = yaml.safe_load(path.read_text())
    content["datamodule"] = {
        **settings_of(kind, root),
        "validation_fraction": 0.2,
        "batch_size": 16,
        "evaluation_batch_size": 8,
        "cache": str(folder / "cache"),
        **settings,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory, root):
    """The run over arrays that is never stopped."""
    configuration = write(tmp_path_factory.mktemp("plain"), "arrays", root)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    rehearse(configuration)
    return only_run(configuration.parent)


def states(run):
    return (run / "losses.jsonl").read_text()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("packed", {}), ("arrays", {"placement": "memory"}), ("shards", {}), ("shards", {"workers": 2, "cache": "off"})],
)
def test_the_same_samples_make_the_same_run(plain, root, tmp_path, kind, settings):
    configuration = write(tmp_path, kind, root, **settings)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    assert states(only_run(tmp_path)) == states(plain)
    where = "in 3 files" if kind == "shards" else "in 1 file"
    assert f"images: train 77, validation 19 held out of train; {where}\n" in output(configuration)


@pytest.mark.parametrize(("kind", "settings"), [("arrays", {}), ("shards", {"placement": "stream", "workers": 1})])
def test_a_killed_run_goes_on_as_the_run_that_was_not(root, tmp_path, kind, settings):
    if kind == "shards":  # with a sample that is left out
        shutil.copytree(root / "shards", tmp_path / "data/shards")
        write_shard(tmp_path / "data/shards/torn.tar", [("a", {"png": b"torn"})])
        root, settings = tmp_path / "data", {**settings, "on_bad_file": "skip"}
    whole, killed = (write(tmp_path / name, kind, root, **settings) for name in ("whole", "killed"))
    assert Forked(str(whole)).wait() == 0, output(whole)
    assert Forked(str(killed), prepare=kill_at(7)).wait() == -signal.SIGKILL
    assert differences(only_run(whole.parent), resumed_to_the_end(killed)) == []
    skipped = json.loads((only_run(killed.parent) / "data.json").read_text())["skipped"]
    assert skipped == (["torn.tar/a.png"] if kind == "shards" else [])
    assert output(killed).count("1 of 97 samples can't be decoded and are skipped: torn.tar/a.png") == 2 * len(skipped)


@pytest.mark.parametrize("kind", ["arrays", "shards"])
def test_pixels_are_standardised_by_what_is_measured(root, tmp_path, kind):
    configuration = write(tmp_path, kind, root, pixel_range="standardised")
    content = yaml.safe_load(configuration.read_text())
    content["model"]["output_activation"] = "linear"
    configuration.write_text(yaml.safe_dump(content))
    assert Forked(str(configuration), prepare=kill_at(3)).wait() == -signal.SIGKILL
    (kept,) = (tmp_path / "cache").glob("*.moments.json")
    found = json.loads(kept.read_text())
    images = numpy.load(root / "x.npy")[hold_out(COUNT, 0.2, 0)[0].numpy()] / 255
    assert numpy.allclose(found["mean"], images.mean((0, 1, 2)))
    assert numpy.allclose(found["std"], images.std((0, 1, 2)))
    resumed_to_the_end(configuration)


@pytest.mark.parametrize("kind", ["arrays", "shards"])
def test_files_that_are_replaced_between_stop_and_resume_are_named(tmp_path, kind):
    copy = tmp_path / "data"
    copy.mkdir()
    configuration = write(tmp_path, kind, copy)
    if kind == "shards":
        write_shards(copy / "shards", count=COUNT, side=SIDE)
        replaced = copy / "shards" / "train-01.tar"
    else:
        numpy.save(copy / "x.npy", arrays(COUNT, SIDE)[0])
        replaced = copy / "x.npy"
    assert Forked(str(configuration), prepare=kill_at(3)).wait() == -signal.SIGKILL
    state = replaced.stat()
    if kind == "shards":
        write_shards(copy / "shards", count=COUNT, side=SIDE, seed=1)
        expected = "3 replaced (train-00.tar: other content of"
    else:
        numpy.save(replaced, arrays(COUNT, SIDE)[0][..., :1])
        expected = "1 replaced (x.npy: "
    assert kind == "arrays" or replaced.stat().st_size == state.st_size
    assert Forked(str(configuration), "--resume").wait() == 2
    assert expected in output(configuration)
    assert "Traceback" not in output(configuration)


def test_files_that_were_only_touched_are_the_same(tmp_path):
    write_shards(tmp_path / "data" / "shards", count=COUNT, side=SIDE)
    configuration = write(tmp_path, "shards", tmp_path / "data")
    assert Forked(str(configuration), prepare=kill_at(3)).wait() == -signal.SIGKILL
    os.utime(tmp_path / "data" / "shards" / "train-01.tar", ns=(1, 1))
    resumed_to_the_end(configuration)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "jpg"}, "0000 has png, cls, json, mask.png, expected a member jpg"),
        ({"files": "*.zip"}, "no files *.zip"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_written(root, tmp_path, settings, message):
    configuration = write(tmp_path, "shards", root, **settings)
    assert Forked(str(configuration)).wait() == 2
    assert message in output(configuration)
    assert "Traceback" not in output(configuration)
    assert not (tmp_path / "runs").exists()


def test_a_table_is_trained_on_and_resumed(root, tmp_path):
    datasets = pytest.importorskip("datasets", reason="reads tables")
    from PIL import Image

    images = numpy.load(root / "x.npy")

    def rows():
        for image in images:
            yield {"image": Image.fromarray(image)}

    features = datasets.Features({"image": datasets.Image()})
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(tmp_path / "cache"))
    table.save_to_disk(tmp_path / "table")
    whole, killed = (write(tmp_path / name, "arrays", root) for name in ("whole", "killed"))
    for path in (whole, killed):
        content = yaml.safe_load(path.read_text())
        del content["datamodule"]["root"], content["datamodule"]["images"]
        content["datamodule"] |= {"name": "hugging_face", "path": str(tmp_path / "table"), "image_size": [SIDE, SIDE]}
        path.write_text(yaml.safe_dump(content))
    assert Forked(str(whole)).wait() == 0, output(whole)
    assert Forked(str(killed), prepare=kill_at(7)).wait() == -signal.SIGKILL
    assert differences(only_run(whole.parent), resumed_to_the_end(killed)) == []
