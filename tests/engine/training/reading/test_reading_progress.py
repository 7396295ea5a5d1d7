"""What is shown while data is prepared: lines where there is no terminal, a bar on one."""

import logging

from firebox.engine.training.reading import reading_progress
from firebox.engine.training.reading.reading_progress import shown_progress
from firebox.foundation import console


def test_lines_are_written_now_and_then(caplog, monkeypatch):
    logging.getLogger("firebox").propagate = True
    caplog.set_level(logging.INFO, "firebox")
    with shown_progress() as progress:
        progress("samples decoded", 10, 1000)
    assert not any("samples decoded" in message for message in caplog.messages)
    monkeypatch.setattr(reading_progress, "LINE_SECONDS", 0.0)
    with shown_progress() as progress:
        progress("samples decoded", 1000, 4000)
    (line,) = {message for message in caplog.messages if "samples decoded" in message}
    assert line.startswith("1,000 of 4,000 samples decoded, ")
    assert line.endswith(" left")


def test_a_bar_shows_what_is_done(monkeypatch):
    shown = reading_progress._Progress()
    shown.take("samples decoded", 250, 1000)
    bar = shown.bar().plain

    assert bar.startswith("samples decoded ")
    assert "25 %  250 of 1,000" in bar
    begun = []
    monkeypatch.setattr(console, "draws_progress", lambda: True)
    monkeypatch.setattr("rich.live.Live.start", lambda *_: begun.append("start"))
    monkeypatch.setattr("rich.live.Live.stop", lambda *_: begun.append("stop"))
    with shown_progress() as progress:
        assert begun == []  # what needs no preparation shows no bar
        progress("samples decoded", 1, 2)
    assert begun == ["start", "stop"]
