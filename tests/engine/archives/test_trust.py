"""What an archive may run and hold: its own code by consent, and nothing but what was archived."""

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from firebox.engine.archives.loading import load_archive
from firebox.engine.records.sealing import sealed
from firebox.foundation.files import digest
from firebox.foundation.problems import Refusal
from tests.engine.launch.test_continuity import MODEL, PARTS
from tests.exactness import forget, run_python

MARKED = "with open('imported', 'a') as file:\n    file.write(__file__ + '\\n')\n"
TOP = """\
datagenerator:
  {name: shapes, image_size: [8, 8], train_length: 20, validation_length: 10, test_length: 10, batch_size: 10}
model: {name: models/own.py:Own, width: 3}
module: {name: reconstruction, loss: {name: losses/own.py:Own}}
training: {epochs: 1, device: cpu}
handlers: [handlers/own.py:Quiet, image_dump: false, progress: false, model_summary: false]
"""
LOSS = """\
from firebox import PixelLoss

class Own(PixelLoss):
    def per_pixel(self, output, images):
        return (output - images).abs()
"""
HANDLER = "from firebox import Handler\n\nclass Quiet(Handler):\n    def attach(self, run): ...\n"


def firebox(folder, *arguments):
    """Runs a command in a process of its own, as a user does."""
    done = run_python("-m", "firebox", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def loaded(folder, archive, *, trust):
    """Loads an archive in a process of its own; returns the width of its model's kernel, and what is said."""
    code = "import sys; from pathlib import Path; from firebox.engine.archives.loading import load_archive\n"
    code += f"model = load_archive(sys.argv[1], trust_code={trust}).model; print(model.layer.kernel_size[0], model.tag)"
    script = folder / "load.py"
    script.write_text(code)
    return run_python(script, archive, cwd=folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project, its run, and the archive of it."""
    project = tmp_path_factory.mktemp("made") / "project"
    model = MARKED + MODEL.replace("        self.layer", "        self.tag = 'archived'\n        self.layer")
    files = {"models/own.py": model, "models/parts.py": PARTS, "losses/own.py": LOSS, "handlers/own.py": HANDLER}
    for name, text in {**files, "my.yaml": TOP}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    run = project / firebox(project, "train", "cae_baseline", "my.yaml", "--quiet")
    # The run's own code is archived, whatever has become of the project's.
    (project / "models/own.py").write_text(model.replace("'archived'", "'edited'"))
    archive = firebox(project, "archive", run, "--checkpoint", "last")
    return project, run, project / archive


@pytest.fixture
def archive(made, tmp_path):
    """A writable copy, the project out of sight."""
    copy = tmp_path / "archived_v1_2026-01-01"
    shutil.copytree(made[2], copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    forget()
    yield copy
    forget()


def reseal(archive, change=lambda card: None):
    """Makes the card fit what the archive holds now, as somebody who knows the format can."""
    card = json.loads((archive / "card.json").read_text())
    for name in card["files"]:
        if (archive / name).is_file():
            card["files"][name]["sha256"] = digest(archive / name)
    change(card)
    (archive / "card.json").write_text(json.dumps(sealed(card)))


def refused(archive, **options):
    with pytest.raises(Refusal) as caught:
        load_archive(archive, **options)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)
    return str(caught.value)


def test_an_archive_holds_the_users_own_files_of_all_parts(made):
    archive = made[2]
    names = {path.relative_to(archive / "code").as_posix() for path in (archive / "code").rglob("*") if path.is_file()}
    assert names == {"models/own.py", "models/parts.py", "losses/own.py", "handlers/own.py", "record.json"}
    card = json.loads((archive / "card.json").read_text())
    assert card["files"]["code/models/own.py"]["sha256"] == digest(archive / "code/models/own.py")
    assert card["model"]["name"] == "code/models/own.py:Own"
    loss = "loss of the module reconstruction (loss code/losses/own.py:Own)"
    assert card["metrics"]["validation"]["loss"]["definition"] == loss
    assert str(made[0]) not in (archive / "config.yaml").read_text().partition("\n")[2].partition("output:")[0]


def test_code_is_refused_without_consent_with_path_and_digest_of_each_file(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused(archive)
    for name in ("models/own.py", "models/parts.py", "losses/own.py"):
        assert f"{archive}/code/{name} (SHA-256 {digest(archive / 'code' / name)})" in said
    assert "--trust-code, or trust_code=True" in said
    assert not (tmp_path / "imported").exists()


def test_with_consent_the_archives_own_code_runs_and_is_named(archive, tmp_path):
    # Files of the same names lie around: beside the archive, in the working directory, in the project.
    for folder in (tmp_path, archive.parent / "code/models", tmp_path / "here", tmp_path / "here/code/models"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "parts.py").write_text("raise RuntimeError('not the archive')\n")
        (folder / "own.py").write_text("raise RuntimeError('not the archive')\n")
    done = loaded(tmp_path / "here", archive, trust=True)
    assert done.stdout.split() == ["3", "archived"], done.stderr
    assert f"{archive}/code/models/own.py (SHA-256 {digest(archive / 'code/models/own.py')})" in done.stderr
    assert len((tmp_path / "here/imported").read_text().splitlines()) == 1
    assert not list(archive.rglob("__pycache__"))
    # The control: without consent nothing of it is imported.
    (tmp_path / "here/imported").unlink()
    assert loaded(tmp_path / "here", archive, trust=False).returncode != 0
    assert not (tmp_path / "here/imported").exists()


def test_an_experiment_needs_the_consent_too(archive, capsys, monkeypatch):
    monkeypatch.chdir(archive.parent)
    from firebox.experiments.evaluate import EXPERIMENT

    assert EXPERIMENT.run([str(archive)]) == 2
    assert "--trust-code" in capsys.readouterr().err
    forget()
    assert EXPERIMENT.run([str(archive), "--trust-code", "--count", "5"]) == 0


def test_a_run_is_replayed_with_the_code_it_kept(made):
    project, run, _ = made
    done = run_python("-m", "firebox", "replay", run, "--iteration", "2", cwd=project.parent)
    assert "losses: equal" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["../own.py:Own", "own:Own", "/tmp/own.py:Own", "tests.engine.archives.absent:X"])
def test_parts_that_the_archive_does_not_hold_are_refused_even_with_consent(archive, monkeypatch, name):
    (archive.parent / "own.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.chdir(archive.parent)
    monkeypatch.syspath_prepend(str(archive.parent))
    text = (archive / "config.yaml").read_text()
    (archive / "config.yaml").write_text(text.replace("code/models/own.py:Own", name))
    record = json.loads((archive / "code/record.json").read_text())
    record["parts"].pop("model")
    (archive / "code/record.json").write_text(json.dumps(record))
    reseal(archive)
    refused(archive, trust_code=True)
    refused(archive)


def symlink(archive, name, target):
    (archive / name).unlink(missing_ok=True)
    (archive / name).symlink_to(target)


def experiments_elsewhere(archive):
    (archive / "experiments").rmdir()
    (archive.parent / "elsewhere").mkdir()
    (archive / "experiments").symlink_to(archive.parent / "elsewhere")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda archive: symlink(archive, "code/models/parts.py", "/etc/hostname"), "a link"),
        (lambda archive: symlink(archive, "more", "/etc"), "a link"),
        (experiments_elsewhere, "a link"),
        (lambda archive: (archive / "code/models/more.py").write_text(""), "was not archived; remove it"),
        (lambda archive: os.mkfifo(archive / "pipe"), "was not archived"),
        (lambda archive: (archive / "code/models/own.py").write_text(MODEL), "its SHA-256 is not the card's"),
        (lambda archive: reseal(archive, lambda card: card["files"].update({"../x": {"sha256": ""}})), "files has"),
        (lambda archive: reseal(archive, lambda card: card["files"].update({"/x": {"sha256": ""}})), "files has"),
        (lambda archive: reseal(archive, lambda card: card["files"].update({"a//x": {"sha256": ""}})), "files has"),
        (lambda archive: reseal(archive, lambda card: card["self_check"].update(images="x")), "self_check: got"),
    ],
)
def test_links_strangers_and_names_that_lead_out_are_refused(archive, tamper, message):
    tamper(archive)
    assert message in refused(archive, trust_code=True)


def test_what_experiments_write_is_no_stranger(archive, tmp_path):
    (archive / "experiments/own.json").write_text("{}")
    assert loaded(tmp_path, archive, trust=True).returncode == 0


def test_the_tolerance_is_not_the_cards(archive, monkeypatch):
    monkeypatch.chdir(archive.parent)

    def lenient(card):
        card["self_check"].update(value=card["self_check"]["value"] * 1.5, relative_tolerance=1e9)

    reseal(archive, lenient)
    assert "self-check failed" in refused(archive, trust_code=True)


def test_a_card_that_was_edited_is_not_as_it_was_sealed(archive):
    text = (archive / "card.json").read_text()
    (archive / "card.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    assert "not as it was sealed" in refused(archive)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested too deeply"),
        ('{"a": "' + "x" * 20_000_000 + '"}', "got more than 4,194,304 bytes"),
        ('{"schema_version": 2, "a": NaN}', "got NaN, expected a finite number"),
        ('{"schema_version": 2, "a": 1e999}', "expected a finite number"),
        ('{"schema_version": 1, "schema_version": 2}', "given twice"),
        ("[1]", "expected an object"),
        ("", "can't be read"),
        ('{"a": \x1b]0;x}', "can't be read"),
        ('{"schema_version": "\\u001b[31m"}', r"schema_version is \"\x1b[31m\", expected 2"),
        (json.dumps(sealed({"schema_version": 2, "files": []})), "is missing"),
        (json.dumps(sealed({"schema_version": 2, "files": {"x": 1}})), "is missing"),
    ],
)
def test_a_hostile_card_is_refused_at_once_in_one_line(tmp_path, text, message):
    archive = tmp_path / "archived_v1_2026-01-01"
    archive.mkdir()
    (archive / "card.json").write_text(text)
    began = time.process_time()
    said = refused(archive)
    assert message.replace('\\"', '"') in said and said.isprintable()
    assert time.process_time() - began < 5
