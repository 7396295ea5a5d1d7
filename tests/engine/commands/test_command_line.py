"""The command firebox by itself."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firebox.engine.commands.command_line import main
from tests.written_runs import a_run


def test_alone_it_shows_how_it_is_used(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "to begin:" in shown and "firebox new my_project" in shown


def test_its_version_is_shown_whether_it_is_installed_or_used_from_a_checkout(capsys, monkeypatch):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"firebox {importlib.metadata.version('firebox')}\n"

    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: ())
    monkeypatch.setattr(importlib.metadata.Distribution, "discover", lambda **_: iter(()))
    assert main(["list"]) == 0, "no command needs a version"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--version"])
    assert "checkout" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("command", "output", "code"),
    [("runs", "/dev/full", 1), ("--version", "/dev/full", 1), ("runs", "", 0), ("runs", "closed pipe", 0)],
)
def test_a_result_that_cant_be_printed_is_an_error_unless_its_reader_left(tmp_path, command, output, code):
    a_run(tmp_path / "runs", "trainer: cae_baseline\n")
    arguments = [sys.executable, "-m", "firebox", command]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    reading, writing = os.pipe()
    if output == "closed pipe":
        os.close(reading)
    with open(output if output == "/dev/full" else writing, "w") as stdout:  # noqa: PTH123
        done = subprocess.run(
            arguments, cwd=tmp_path, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == code, done.stderr
    assert done.stderr == ("can't print the result: No space left on device\n" if code else "")
    if not output:
        assert os.read(reading, 1000).startswith(b"run ")


def test_a_mistyped_command_is_told_the_closest_one(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    assert ended.value.code == 2
    assert "there is no command trian; did you mean train?" in capsys.readouterr().err
