"""Archived models that are used where their data is not."""

import json
import shutil
import stat
from pathlib import Path

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.specification_record import plain_specification, specification_from
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Classes, Labels, Mask, Target, Values
from firebox.engine.archives.loading import load_archive, load_model
from firebox.engine.archives.making import archive_run
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.records.sealing import sealed
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from tests.data.folders_of_images import write_images

CONFIGURATION = """\
trainer: classifier_baseline
seed: 7
datamodule:
  name: image_folder
  root: images
  image_size: [16, 24]
  batch_size: 8
  pixel_range: standardised
  augmentations: [random_horizontal_flip]
  drop_last: true
model: {name: classifier_baseline, channels: [4]}
module: {name: classification}
training: {epochs: 1, device: cpu}
handlers: [progress: false, image_dump: false]
"""


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a run on a folder of images, which is gone."""
    folder = tmp_path_factory.mktemp("archived")
    write_images(folder / "images", 40)
    file = folder / "configuration.yaml"
    file.write_text(CONFIGURATION)
    assert train(read("classifier_baseline", file, None, [f"output.root={folder / 'runs'}"]), None, StopRequest()) == 0
    archive = archive_run(folder / "runs" / "image_folder" / "classifier_baseline" / "version_0")
    images = torch.rand(2, 3, 16, 24)
    torch.save((images, load_archive(archive).model(images)), folder / "outputs.pt")
    shutil.rmtree(folder / "images")
    return archive


def edited(archive: Path, folder: Path, key: str, value: object) -> Path:
    """A copy of an archive whose card is another one, sealed as if it had been archived so."""
    place = folder / "runs" / archive.parent.name / archive.name
    shutil.copytree(archive, place)
    for path in (place, *place.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    card = {**json.loads((archive / "card.json").read_text()), key: value}
    (place / "card.json").write_text(json.dumps(sealed({k: v for k, v in card.items() if v is not ...})))
    return place


def test_a_model_is_the_archived_one_without_its_data(archived: Path) -> None:
    with pytest.raises(Refusal, match="there is no folder"):
        load_archive(archived)
    images, outputs = torch.load(archived.parent.parent.parent / "outputs.pt")
    loaded = load_model(archived)
    assert torch.equal(loaded.model(images), outputs)
    assert loaded.specification.classes == ("ant", "bee")
    assert loaded.specification.pixel_range == "standardised"
    assert loaded.card["decoding"]["image_size"] == [16, 24]


def test_other_weights_than_those_of_the_probe_are_refused(archived: Path, tmp_path: Path) -> None:
    recorded = json.loads((archived / "card.json").read_text())["probe"]
    changed = {**recorded, "values": [value + 0.05 * recorded["rms"] for value in recorded["values"]]}
    with pytest.raises(Refusal, match="self-check failed: its output for drawn images differs"):
        load_model(edited(archived, tmp_path, "probe", changed))


def test_what_devices_differ_by_is_not_refused(archived: Path, tmp_path: Path) -> None:
    recorded = json.loads((archived / "card.json").read_text())["probe"]
    changed = {**recorded, "values": [value + 0.005 * recorded["rms"] for value in recorded["values"]]}
    load_model(edited(archived, tmp_path, "probe", changed))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("specification", ..., "describes no samples, and so its model can't be used without its data"),
        ("specification", None, "describes no samples"),
        ("specification", {"shape": [1]}, "expected that of samples"),
        ("specification", [], "expected that of samples"),
        ("probe", {"values": "x", "rms": 1}, "expected values of an output"),
        ("probe", [], "expected values of an output"),
        ("probe", {"values": [], "rms": 1.0}, "self-check failed"),
    ],
)
def test_a_card_that_lacks_what_is_needed_is_refused_in_one_line(
    archived: Path, tmp_path: Path, key: str, value: object, message: str
) -> None:
    with pytest.raises(Refusal, match=message) as refused:
        load_model(edited(archived, tmp_path, key, value))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "target",
    [
        None,
        Classes(("a", "b")),
        Labels(("a",)),
        Values(("x", "y")),
        Mask(("sky", "sea"), ignored=255),
        TargetImage(ImageSpecification((1, 4, 4), "[-1,1]")),
    ],
)
def test_a_specification_comes_back_as_it_was(target: Target | None) -> None:
    given = ImageSpecification((1, 8, 4), "standardised", mean=(0.2,), std=(0.3,), value_range=(0, 4095), target=target)
    plain = json.loads(json.dumps(plain_specification(given)))
    assert specification_from(plain) == given


def test_a_target_of_a_users_own_is_not_recorded() -> None:
    class Own(Classes):
        pass

    assert plain_specification(ImageSpecification((1, 2, 2), target=Own(("a",)))) is None
