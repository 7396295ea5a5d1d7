"""A run is resumed, replayed and archived on the data that it was trained on, and on no other."""

import gzip
import json
import logging
import os
import shutil
import signal
import time
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.decoding.decoding import DECODER
from firebox.engine.commands.command_line import main
from firebox.engine.records import checkpoints
from tests.exactness import Forked, differing
from tests.soaking import soak

TOP = """\
trainer: cae_baseline
datamodule: {name: image_folder, root: images, image_size: [8, 8], batch_size: 10, validation_fraction: 0.25}
model: {name: linear_autoencoder, latent_dim: 2}
training: {epochs: 1, device: cpu}
handlers: [image_dump: false, progress: false, model_summary: false]
"""
TRAIN = ["train", "cae_baseline"]
LONGER = ["--set", "training.epochs=2", "--allow-change", "training.epochs"]


def write(path, number, height=9):
    """Writes a picture of noise; another height gives the file another size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = numpy.random.default_rng(number).integers(0, 256, (height, 8, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Folders of pictures, divided by their draw and by their folders, and a finished run on each."""
    folder = tmp_path_factory.mktemp("project")
    for kind, names in (("cat", "abcdefghijkl"), ("dog", "mnopqrstuvwx")):
        for number, name in enumerate(names):
            write(folder / "images" / kind / f"{name}.png", ord(name), 9 + number)
            split = ("train", "train", "validation", "train", "train", "test")[number % 6]
            write(folder / "divided" / split / kind / f"{name}.png", ord(name), 9 + number)
    (folder / "my.yaml").write_text(TOP)
    (folder / "divided.yaml").write_text(TOP.replace("images", "divided"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*TRAIN, "my.yaml", "--quiet"]) == 0
        assert main([*TRAIN, "divided.yaml", "--quiet"]) == 0
        verified = ["--set", "datamodule.verify=content"]
        assert main([*TRAIN, "my.yaml", "--quiet", *verified]) == 0
        close_logs()
    return folder


@pytest.fixture
def project(original, tmp_path, monkeypatch):
    """A copy: version_0 on ``images``, version_1 on ``divided``, version_2 on ``images`` by content."""
    shutil.copytree(original, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    yield tmp_path / "project"
    close_logs()


def close_logs():
    logger = logging.getLogger("firebox")
    for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def version(number):
    return Path("runs/image_folder/linear_autoencoder", f"version_{number}").absolute()


def resumed(capfd, run, *arguments, code=0):
    """Resumes a run for longer; returns what was said."""
    assert main([*TRAIN, "--resume", str(run), *LONGER, *map(str, arguments)]) == code
    said = capfd.readouterr()
    return " ".join(said.err.split()) + said.out


def add(folder):
    write(folder / "images/cat/new.png", 1, 40)
    write(folder / "images/dog/newer.png", 2, 41)


def replace(folder):
    write(folder / "images/cat/c.png", 1, 40)


def same_size(folder):
    path = folder / "images/cat/c.png"
    size = path.stat().st_size
    for number in range(1000, 2000):
        write(path, number, 9 + "abcdefghijkl".index(path.stem))
        if path.stat().st_size == size:
            return
    raise AssertionError("no other picture of the same size")


def rename(folder):
    (folder / "images/cat/a.png").rename(folder / "images/cat/z.png")


def rename_class(folder):
    (folder / "images/cat").rename(folder / "images/feline")


def move_in_draw(folder):
    (folder / "images/cat/a.png").rename(folder / "images/dog/a.png")


def move_in_folders(folder):
    (folder / "divided/train/cat/a.png").rename(folder / "divided/validation/cat/a.png")


def add_class(folder):
    for number in range(4):
        write(folder / f"images/bird/{number}.png", number, 60 + number)


def many(folder):
    for number in range(9):
        write(folder / f"images/cat/new{number}.png", number, 60 + number)


CHANGES = {
    "added": (0, add, ["2 added (cat/new.png, dog/newer.png)"]),
    "removed": (0, lambda f: (f / "images/cat/b.png").unlink(), ["1 removed (cat/b.png)"]),
    "replaced": (0, replace, ["1 replaced (cat/c.png: ", " bytes)"]),
    "replaced, same size": (2, same_size, ["1 replaced (cat/c.png: other content of "]),
    "renamed": (0, rename, ["1 renamed (cat/a.png -> cat/z.png)"]),
    "renamed, by content": (2, rename, ["1 renamed (cat/a.png -> cat/z.png)"]),
    "class renamed": (
        0,
        rename_class,
        ['class "cat" renamed to "feline"', "labels mean other classes (feline -> dog, dog -> feline)"],
    ),
    "class added": (0, add_class, ["1 class added (bird)", "4 added (bird/0.png, "]),
    "class removed": (0, lambda f: shutil.rmtree(f / "images/dog"), ["1 class removed (dog)", "12 removed (dog/m.png"]),
    "moved to another class": (0, move_in_draw, ["1 renamed (cat/a.png -> dog/a.png)"]),
    "moved to another split": (
        1,
        move_in_folders,
        [
            "1 renamed (train/cat/a.png -> validation/cat/a.png)",
            "1 now in another split (validation/cat/a.png: train -> validation)",
        ],
    ),
    "many": (0, many, ["9 added (cat/new0.png, cat/new1.png, cat/new2.png, cat/new3.png, cat/new4.png, and 4 more)"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_refused_by_name(project, capfd, name):
    number, change, expected = CHANGES[name]
    change(project)
    before = {path: path.read_bytes() for path in version(number).rglob("*") if path.is_file()}
    said = resumed(capfd, version(number), code=2)
    for text in expected:
        assert text in said
    assert said.count("the data has changed since the run began: ") == 1 and "--allow-change data" in said
    assert "config.yaml:" in said and "datamodule: " in said and "Traceback" not in said
    assert said == resumed(capfd, version(number), "--check", code=2)
    assert before == {path: path.read_bytes() for path in version(number).rglob("*") if path.is_file()}


@pytest.mark.usefixtures("project")
def test_unchanged_data_goes_on_and_says_nothing(capfd):
    for number in (0, 1, 2):
        assert "data has changed" not in resumed(capfd, version(number))


def test_names_alone_do_not_show_another_content_of_the_same_size(project, capfd):
    same_size(project)
    assert "data has changed" not in resumed(capfd, version(0))


def test_the_same_data_at_another_path_or_behind_a_link_or_in_another_order_is_the_same(project, capfd):
    (project / "images").rename(project / "elsewhere")
    moved = ["--set", "datamodule.root=elsewhere"]
    assert "data has changed" not in resumed(capfd, version(0), *moved)
    (project / "images").symlink_to("elsewhere")
    # Copied in the opposite order, with other times, through a link.
    names = sorted((project / "elsewhere").rglob("*.png"), reverse=True)
    for path in names:
        target = project / "again" / path.relative_to(project / "elsewhere")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    assert "data has changed" not in resumed(capfd, version(2), "--set", "datamodule.root=again")


@pytest.mark.parametrize(
    ("setting", "key"),
    [("image_size=[6, 6]", "image_size"), ("split_seed=3", "split_seed"), ("validation_fraction=0.5", "validation_f")],
)
@pytest.mark.usefixtures("project")
def test_another_transform_or_division_is_said_once_by_its_key(capfd, setting, key):
    said = resumed(capfd, version(0), "--set", f"datamodule.{setting}", code=2)
    assert f"datamodule.{key}" in said and "the data has changed" not in said
    assert "1 problem" in said


@pytest.mark.usefixtures("project")
def test_another_decoder_is_said(capfd, monkeypatch):
    monkeypatch.setattr("firebox.data.decoding.decoding.DECODER", 77)
    assert f"read otherwise: decoder was {DECODER}, now 77" in resumed(capfd, version(0), code=2)


def test_an_allowed_change_goes_on_warns_and_is_recorded(project, capfd):
    before = json.loads((version(0) / "data.json").read_text())
    move_in_draw(project)
    said = resumed(capfd, version(0), "--allow-change", "data")
    assert "1 renamed (cat/a.png -> dog/a.png)" in said
    record = json.loads((version(0) / "data.json").read_text())
    assert record["from_iteration"] == 2 and record["earlier"][0]["digests"] == before["digests"]
    assert record["digests"] != before["digests"]
    # From now on this is the run's data, and what it was before can't be replayed.
    assert main(["replay", str(version(0)), "--iteration", "3"]) == 0
    assert main(["replay", str(version(0)), "--iteration", "2"]) == 2
    assert "the data has changed since iteration 2: " in " ".join(capfd.readouterr().err.split())
    (project / "images/dog/a.png").rename(project / "images/cat/a.png")
    assert main(["replay", str(version(0)), "--iteration", "2"]) == 0
    assert main(["replay", str(version(0)), "--iteration", "3"]) == 2


def test_how_many_trained_on_images_are_now_evaluated_on_is_said(project, capfd):
    move_in_folders(project)
    said = resumed(capfd, version(1), "--allow-change", "data")
    assert "of the samples that were trained on, 1 in the validation split are now evaluated on" in said


def test_epochs_of_another_length_are_allowed_with_the_data(project, capfd):
    many(project)
    assert "an epoch now has 3 iterations, so far 2" in resumed(capfd, version(0), "--allow-change", "data")
    assert json.loads((version(0) / "status.json").read_text())["iteration"] == 6
    assert json.loads((version(0) / "environment.json").read_text())["epoch_length"] == 3


@pytest.mark.parametrize("command", ["replay", "archive"])
def test_replay_and_archive_refuse_other_data(project, capfd, command):
    arguments = {"replay": ["--iteration", "2"], "archive": []}[command]
    add(project)
    assert main([command, str(version(0)), *arguments]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "2 added (cat/new.png, dog/newer.png)" in said and "put it back" in said and "Traceback" not in said
    assert not list((project / "runs/image_folder").glob("archived*"))
    (project / "images/cat/new.png").unlink()
    (project / "images/dog/newer.png").unlink()
    assert main([command, str(version(0)), *arguments]) == 0


def test_an_archive_has_the_fingerprint_and_an_experiment_warns_of_other_data(project, capfd):
    from firebox.engine.archives.loading import load_archive

    assert main(["archive", str(version(0))]) == 0
    (archive,) = (project / "runs/image_folder").glob("archived*")
    recorded = json.loads((version(0) / "data.json").read_text())
    card = json.loads(next(archive.glob("*card*.json")).read_text())
    assert card["data"]["fingerprint"]["digests"] == recorded["digests"]
    load_archive(archive)
    assert "not what the model was trained on" not in capfd.readouterr().err
    write(project / "images/cat/zz.png", 5, 40)
    try:
        load_archive(archive)
    except ValueError as refusal:  # where the self-check's images are among those that changed
        assert "self-check" in str(refusal)
    said = " ".join(capfd.readouterr().err.split())
    assert "the data is not what the model was trained on: train: 18 samples, now 19" in said


def edited(run):
    content = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**content, "classes": ["x", "y"]}))


LOST = {
    "absent": lambda run: (run / "data.json").unlink(),
    "edited": edited,
    "torn": lambda run: (run / "data.json").write_text("{"),
    "another run's": lambda run: shutil.copy(version(1) / "data.json", run / "data.json"),
    "not JSON's dict": lambda run: (run / "data.json").write_text("[1]"),
}


@pytest.mark.parametrize("name", LOST)
def test_where_the_record_is_lost_the_checkpoint_s_digest_counts(project, capfd, name):
    before = json.loads((version(0) / "data.json").read_text())
    LOST[name](version(0))
    rename(project)
    said = resumed(capfd, version(0), code=2)
    assert "is lost or not as the run wrote it" in said and "what was changed can't be named" in said
    (project / "images/cat/z.png").rename(project / "images/cat/a.png")
    resumed(capfd, version(0))
    now = json.loads((version(0) / "data.json").read_text())
    assert {**now, "sha256": 0, "earlier": 0} == {**before, "sha256": 0, "earlier": 0}


FILES_LOST = {
    "absent": None,
    "empty": b"",
    "no gzip": b"x",
    "a list": gzip.compress(b"[]"),
    "other keys": gzip.compress(b'{"names": [1]}'),
    "other values": gzip.compress(b'{"names": [1], "sizes": 2, "labels": [], "splits": ["train"], "sha256": null}'),
}


@pytest.mark.parametrize("name", FILES_LOST)
def test_where_the_files_are_lost_counts_say_what_they_can(project, capfd, name):
    content = FILES_LOST[name]
    place = version(0) / "data_files.json.gz"
    place.unlink() if content is None else place.write_bytes(content)
    (project / "images/cat/b.png").unlink()
    assert "train: 18 samples, now 17" in resumed(capfd, version(0), code=2)


@pytest.mark.usefixtures("project")
def test_a_run_of_before_goes_on_and_is_recorded_from_then_on(capfd):
    run = version(0)
    (run / "data.json").unlink()
    (run / "data_files.json.gz").unlink()
    for path in (run / "checkpoints").glob("*/manifest.json"):
        content = json.loads(path.read_text())
        del content["sha256"], content["data"]
        path.write_text(checkpoints.Manifest(**content).text())
        assert "data" not in json.loads(path.read_text())
    assert "what the run was trained on so far is not recorded" in resumed(capfd, run)
    assert json.loads((run / "data.json").read_text())["from_iteration"] == 2
    assert main(["replay", str(run), "--iteration", "1"]) == 0


def test_content_is_compared_as_far_as_both_know_it(project, capfd):
    verify = ["--set", "datamodule.verify=content", "--allow-change", "verify"]
    resumed(capfd, version(0), *verify)
    assert json.loads((version(0) / "data.json").read_text())["digests"]["content"] is not None
    again = ["--set", "training.epochs=3"]
    same_size(project)
    assert "1 replaced (cat/c.png: other content" in resumed(capfd, version(0), *again, code=2)
    names = ["--set", "datamodule.verify=names", "--allow-change", "verify"]
    resumed(capfd, version(0), *again, *names)
    # What was known of the content stays known.
    assert json.loads((version(0) / "data.json").read_text())["digests"]["content"] is not None
    last = ["--set", "training.epochs=4", *verify]
    assert "1 replaced (cat/c.png: other content" in resumed(capfd, version(0), *last, code=2)


def test_a_file_that_cannot_be_read_for_its_content_is_named(project, capfd):
    (project / "images/cat/c.png").unlink()
    (project / "images/cat/c.png").mkdir()
    (project / "images/cat/c.png").rmdir()
    os.mkfifo(project / "images/cat/c.png")
    said = resumed(capfd, version(2), "--set", "datamodule.timeout=0.5", "--allow-change", "timeout", code=2)
    assert "c.png" in said and "Traceback" not in said


def test_data_in_memory_is_known_by_its_content(project, capfd):
    text = """\
import torch
from firebox import DataModule, ImageSpecification, ResidentImages

class Own(DataModule):
    reads = "resident"
    specification = ImageSpecification((1, 4, 4), "[0,1]", ("a", "b"))
    split_lengths = {"train": 8, "validation": 4}

    def read(self, split):
        images = torch.load(%r)[split]
        return ResidentImages(images, torch.arange(len(images)) %% 2)
"""
    pixels = {"train": torch.zeros(8, 1, 4, 4, dtype=torch.uint8), "validation": torch.ones(4, 1, 4, 4).byte()}
    torch.save(pixels, project / "pixels.pt")
    (project / "own.py").write_text(text % str(project / "pixels.pt"))
    data = ["--set", "datamodule={name: own.py:Own, batch_size: 4}"]
    assert main([*TRAIN, "my.yaml", *data, "--set", "output.version=mine", "--quiet"]) == 0
    run = Path(capfd.readouterr().out.split()[-1]).absolute()
    record = json.loads((run / "data.json").read_text())
    assert record["kind"] == "samples" and record["splits"]["train"]["classes"] == {"a": 4, "b": 4}
    pixels["train"][3, 0, 1, 1] = 9
    torch.save(pixels, project / "pixels.pt")
    assert "train: other content of its 8 samples" in resumed(capfd, run, code=2)
    pixels["train"][3, 0, 1, 1] = 0
    torch.save(pixels, project / "pixels.pt")
    assert "data has changed" not in resumed(capfd, run)


@soak
def test_killed_and_resumed_on_the_same_data_is_equal_to_the_bit(project):
    text = TOP.replace("epochs: 1", "epochs: 60")
    states = []
    for name in ("whole", "killed"):
        (project / name).mkdir()
        configuration = project / name / "config.yaml"
        configuration.write_text(text.replace("root: images", f"root: {project}/images, verify: content"))
        root = ["--set", f"output.root={project / name / 'runs'}"]
        process = Forked(str(configuration), *root)
        if name == "killed":
            limit = time.monotonic() + 120
            while not list((project / name).rglob("manifest.json")) and time.monotonic() < limit:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert process.wait() in (0, 143)
            shutil.move(project / "images", project / "moved")
            moved = ["--set", f"datamodule.root={project / 'moved'}"]
            process = Forked(str(configuration), *root, *moved, "--resume")
        assert process.wait() == 0, (project / name / "output.txt").read_text()
        (run,) = (path.parent for path in (project / name).rglob("data.json"))
        last = checkpoints.path_of(run / "checkpoints", checkpoints.iterations_in(run / "checkpoints")[-1])
        states.append(checkpoints.load(last))
    assert differing(*states) == []


def test_files_that_are_skipped_are_part_of_the_data(project, capfd):
    skip = ["--set", "datamodule.on_bad_file=skip", "--set", "output.version=skipping"]
    bad = project / "images/cat/c.png"
    good = bad.read_bytes()
    bad.write_bytes(bytes(len(good)))
    assert main([*TRAIN, "my.yaml", "--quiet", *skip]) == 0
    run = version(0).with_name("skipping")
    assert json.loads((run / "data.json").read_text())["skipped"] == ["cat/c.png"]
    assert "data has changed" not in resumed(capfd, run, "--check")
    bad.write_bytes(good)
    assert "1 no longer skipped (cat/c.png)" in resumed(capfd, run, code=2)
    bad.write_bytes(bytes(len(good)))
    (project / "images/dog/x.png").write_bytes(bytes((project / "images/dog/x.png").stat().st_size))
    assert "1 now skipped (dog/x.png)" in resumed(capfd, run, code=2)
    assert "1 now skipped (dog/x.png)" in resumed(capfd, run, "--allow-change", "data")
    assert json.loads((run / "data.json").read_text())["skipped"] == ["cat/c.png", "dog/x.png"]
    assert main(["replay", str(run), "--iteration", "3"]) == 0
