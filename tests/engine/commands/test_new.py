"""A project of one's own, made by a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firebox.engine.commands.command_line import main

FILES = {".gitignore", "README.md", "config.yaml", "my_data.py", "my_handler.py", "my_model.py", "test_project.py"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_project_passes_its_own_test_and_trains_from_its_own_folder(elsewhere, capsys):
    assert main(["new", "my_project"]) == 0
    assert "cd my_project && firebox train cae_baseline config.yaml" in capsys.readouterr().out
    project = elsewhere / "my_project"
    assert {file.name for file in project.iterdir()} == FILES
    # The checkout is on the path, as an installation would be.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_project_is_made_whole_or_not_at_all(elsewhere, capsys):
    (elsewhere / "taken").mkdir()
    (elsewhere / "link").symlink_to("nowhere")
    for name in ("taken", "link"):
        assert main(["new", name]) == 2
        assert "is there already" in capsys.readouterr().err
    assert list((elsewhere / "taken").iterdir()) == []
    (elsewhere / "file").write_text("")
    assert main(["new", "file/below"]) == 2
    assert "can't make" in capsys.readouterr().err
    assert {path.name for path in elsewhere.iterdir()} == {"taken", "link", "file"}
