"""What a copy of a folder is called in messages."""

from firebox.foundation import copies
from firebox.foundation.copies import copied, known_as
from firebox.foundation.problems import Mark


def test_what_is_below_a_copy_has_the_name_of_the_original(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "_ORIGINALS", {})
    copy = tmp_path / "firebox_abc"
    assert known_as(f"{copy}/code/own.py") == f"{copy}/code/own.py"
    copied(tmp_path / "run", copy)
    assert known_as(f"{copy}/code/own.py") == f"{tmp_path}/run/code/own.py"
    assert str(Mark(f"{copy}/config.yaml", 1, 1)) == f"{tmp_path}/run/config.yaml:1:1"
    assert known_as(f"{copy}d/own.py") == f"{copy}d/own.py"
