"""The commands that the documents print run as they are printed, from the folder in which a reader stands."""

import json
import logging
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

from firebox.engine.commands.command_line import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"```.*?```", re.DOTALL)
COMMAND = re.compile(
    r"^    ((?:\.venv/bin/)?(?:python|firebox|make|tensorboard|sbatch|pip|torchrun)\b.*)$", re.MULTILINE
)

NOT_RUN = {
    "make": "sets up an environment of its own; the checks of the project run it",
    "tensorboard": "serves until it is stopped",
    ".venv/bin/python -m pip": "installs packages",
    "torchrun": "starts several processes; the tests of many processes run it",
}
"""Beginnings of commands that are not run here, and why."""

IN_ORDER = "predicting.md"
"""A document whose commands need what those before them have made."""

SHORT = ("datamodule.batch_size=600", "training.epochs=1", "model.channels=[4]", "training.device=cpu")
"""What a training is shortened by, where nothing else says how long it is."""
MY_SWEEP = "config: my_config.yaml\nsampler: grid\nspace: {optimizer.lr: [0.001]}\n"
RUN = "runs/fashion_mini/cae_baseline/version_0"
MY_CONFIG = """\
extends: cae/cae_baseline_fashion_mini.yaml
datamodule: {batch_size: 600}
model: {channels: [4], latent_dim: 4}
training: {epochs: 1, device: cpu}
"""


def commands(document):
    """Returns the commands in a document's indented blocks, without their comments."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    return [re.split(r"\s+#", line)[0].strip() for line in COMMAND.findall(text)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with a configuration of the reader's own, whose run was trained and archived."""
    folder = tmp_path_factory.mktemp("checkout")
    for entry in ("trainers", "configs", "experiments", "docs"):
        (folder / entry).symlink_to(ROOT / entry)
    (folder / "my_config.yaml").write_text(MY_CONFIG)
    (folder / "my_sweep.yaml").write_text(MY_SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "cae_baseline", "my_config.yaml", "--quiet"]) == 0
        assert main(["archive", "runs/fashion_mini/cae_baseline/version_0"]) == 0
    _close_logs()
    return folder


@pytest.fixture
def reader(checkout, tmp_path, monkeypatch):
    """The folder in which a reader of the documents stands: a copy, so that no command is bound to another's run."""
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, symlinks=True)
    monkeypatch.chdir(folder)
    yield folder
    _close_logs()


def _close_logs():
    """Closes the log files of the runs that this process trained."""
    logger = logging.getLogger("firebox")
    for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def run_here(words):
    """Runs a command in this process; returns its exit code."""
    if words[0] == "firebox":
        return main(words[1:])
    script, *arguments = words[1:]
    before = sys.argv, sys.path[:]
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv, sys.path[:] = before
    return 0


def as_it_can_be_here(command, folder):
    """Returns a command's words, made short, with the run and the archive that are there for those that it names."""
    archive = min(folder.glob("runs/*/archived_*"))
    stand_ins = {"RUN": RUN, "RUN_DIRECTORY": RUN, "4711": "3", "training.epochs=20": "training.epochs=2"}
    words = [stand_ins.get(word.strip("[]"), word.strip("[]")) for word in shlex.split(command)]
    words = [re.sub(r"^\w+/archived_v\d+_[\d-]+$", f"{archive.parent.name}/{archive.name}", word) for word in words]
    words = [name for word in words for name in expanded(word, folder)]
    if "train_diffusion" in command:
        words += ["--set", "handlers.image_dump.every=1 epoch", "--set", "datamodule.limit=1200"]
    if "trainers/" in command and not any(part in command for part in ("--resume", "--check", "my_config.yaml")):
        words += [word for setting in SHORT for word in ("--set", setting)]
    if "fashion_mnist" in command:  # this machine may lack its files
        words += ["--set", "datamodule.download=true", "--check"]
    return words


def expanded(word, folder):
    """Returns the paths that a pattern stands for in a shell, and any other word as it is."""
    return sorted(str(path.relative_to(folder)) for path in folder.glob(word)) or [word] if "/" in word else [word]


def reason_not_to_run(command):
    return next((reason for start, reason in NOT_RUN.items() if command.startswith(start)), None)


ALL = [
    (document.name, command) for document in DOCUMENTS if document.name != IN_ORDER for command in commands(document)
]


@pytest.mark.parametrize(("document", "command"), [pair for pair in ALL if not reason_not_to_run(pair[1])])
def test_a_command_of_the_documents_runs_as_it_is_printed(reader, capfd, document, command):
    code = run_here(as_it_can_be_here(command, reader))
    assert code == 0, f"{document}: {command}\n{capfd.readouterr().err}"


def test_own_masks_are_predicted_by_the_commands_that_the_document_prints(reader, capfd):
    document = ROOT / "docs" / IN_ORDER
    (configuration,) = re.findall(r"```yaml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    (reader / "my_masks.yaml").write_text(configuration)
    truth = write_discs(reader / "my_pairs", 40)
    truth |= write_discs(reader / "new_images", 4, seed=100, masks=False)
    for name in ("bag", "coat"):
        shutil.copytree(reader / "my_pairs/images", reader / "by_class" / name)
    printed = commands(document)
    assert len(printed) == 7
    for command in printed:
        words = shlex.split(command)
        archives = {
            data: min(reader.glob(f"runs/{data}/archived_*"), default=None) for data in ("fashion_mini", "image_pairs")
        }
        words = [
            f"{word.split('/')[0]}/{archives[word.split('/')[0]].name}" if re.match(r"\w+/archived_v", word) else word
            for word in words
        ]
        assert run_here(words) == 0, f"{command}\n{capfd.readouterr().err}"
    for name in sorted(path.name for path in (reader / "new_images").iterdir()):
        with Image.open(reader / "predictions/masks" / name) as mask:
            predicted = numpy.asarray(mask)
        assert (predicted == truth[reader / "new_images" / name]).mean() > 0.9
    assert "bag" in json.loads((reader / "scores/anomalies.json").read_text())["classes"]


def write_discs(folder, count, *, seed=0, masks=True):
    """Writes pictures of bright discs on a dark ground, and their masks; returns the mask of each picture."""
    truth = {}
    y, x = numpy.mgrid[:60, :80]
    for k in range(count):
        draw = numpy.random.default_rng(seed + k)
        disc = (y - draw.integers(15, 45)) ** 2 + (x - draw.integers(20, 60)) ** 2 < draw.integers(8, 14) ** 2
        pixels = draw.random((60, 80, 3)) * 80 + disc[..., None] * 150
        place = (folder / "images" if masks else folder) / f"{k:02d}.png"
        for path, content in ((place, pixels), *([(folder / "targets" / place.name, disc)] if masks else [])):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content.astype(numpy.uint8)).save(path)
        truth[place] = disc
    return truth


def test_every_reason_not_to_run_a_command_is_needed():
    used = {start for start in NOT_RUN for _, command in ALL if command.startswith(start)}
    assert used == set(NOT_RUN)
    assert len(ALL) > 15, "commands are found in the documents"


def test_a_command_that_is_printed_wrongly_is_noticed(reader, capfd):
    assert run_here(as_it_can_be_here("python trainers/train_cae_baseline.py my_confg.yaml", reader)) == 2
    assert "my_confg.yaml  can't read the configuration: No such file" in capfd.readouterr().err
