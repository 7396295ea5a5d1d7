"""What depends on the machine."""

import pytest

from firebox.engine.checks import resources
from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER


def problems(*assignments):
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, None, ["training.device=cpu", *assignments]), TRAINER)
    return str(caught.value)


def test_to_compile_without_a_compiler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    text = problems("training.compile=true")
    assert "training.compile: got true, but there is no C++ compiler (g++, clang++, c++)" in text


def test_float16_without_a_watch_for_nan_is_refused():
    text = problems("training.precision=float16", "handlers.terminate_on_nan=false")
    assert "handlers.terminate_on_nan: got false, but training.precision float16 overflows easily" in text


def test_memory_is_what_the_machine_has_and_no_more_than_the_control_group_leaves(monkeypatch, tmp_path):
    (tmp_path / "max").write_text("1000\n")
    (tmp_path / "current").write_text("400\n")
    monkeypatch.setattr(resources, "_CONTROL_GROUPS", ((str(tmp_path / "max"), str(tmp_path / "current")),))
    configuration = read(TRAINER.name, TRAINER.default, None, ["training.device=cpu"])
    assert resources.free_memory(configuration) == 600
    assert "but 600 B are free" in problems()
    (tmp_path / "max").write_text("max\n")
    assert resources.free_memory(configuration) > 1 << 20
