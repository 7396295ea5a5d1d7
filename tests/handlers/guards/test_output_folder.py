"""Where the run's directory goes: looked at, never touched."""

import os
import tempfile
from pathlib import Path

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.records.claiming import claim
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import run_python


def problem(*assignments):
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, None, assignments), TRAINER)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_a_version_that_exists_is_refused(tmp_path):
    configuration = read(TRAINER.name, TRAINER.default, None, [f"output.root={tmp_path}", "output.version=mine"])
    claim(configuration).unlock()
    text = problem(f"output.root={tmp_path}", "output.version=mine")
    path = tmp_path / "fashion_mini" / "cae_baseline" / "mine"
    assert text == (
        f"--set output.version  output.version: {path} exists already; "
        f"expected a new name, or --resume {path} to continue it"
    )


@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_a_file_in_the_way_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file is a file; expected a folder that can be written to" in problem(
        f"output.root={tmp_path}/file{below}"
    )


@pytest.mark.parametrize(
    ("root", "reason"),
    [('"\\0"', "embedded null byte"), ("x" * 300, "too long"), ("/".join(["x" * 200] * 30), "too long")],
)
def test_a_path_that_can_not_be_is_refused(root, reason):
    assert reason in problem(f"output.root={root}")


def test_a_version_of_a_name_too_long_is_refused(tmp_path):
    assert "300 characters; expected at most 255" in problem(f"output.root={tmp_path}", f"output.version={'v' * 300}")


READ_ONLY = """
import os, sys
root = sys.argv[1]
from firebox.engine.configuration import read
from firebox.engine.checks.report import preflight
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import run_python
preflight(read(TRAINER.name, TRAINER.default, None, ["output.root=" + os.path.dirname(root)]), TRAINER)
{deny}
try:
    preflight(read(TRAINER.name, TRAINER.default, None, [f"output.root={{root}}/runs"]), TRAINER)
except Refusal as refusal:
    print(refusal)
"""


@pytest.mark.slow
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "script.py").write_text(READ_ONLY.format(deny="os.setuid(65534)" if os.getuid() == 0 else ""))
    # Not below tmp_path, which pytest closes to other users whenever it starts, and root may write whatever the mode.
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        folder = Path(open_to_all) / "closed"
        folder.mkdir(mode=0o555)
        done = run_python(tmp_path / "script.py", folder)
    assert f"no permission to write into {folder}" in done.stdout, done.stderr
