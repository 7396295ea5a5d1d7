"""The command firebox by itself."""

import importlib.metadata

import pytest

from firebox.engine.commands.command_line import main


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


def test_a_mistyped_command_is_told_the_closest_one(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    assert ended.value.code == 2
    assert "there is no command trian; did you mean train?" in capsys.readouterr().err
