"""What depends on the machine."""

from pathlib import Path

import pytest

from firebox.engine.checks import resources
from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.handlers.guards import device
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import begun, configured, ended


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


@pytest.mark.parametrize(
    ("capabilities", "lacking"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_a_processor_lacks_bfloat16_if_it_says_what_it_has_and_has_neither_instruction(capabilities, lacking):
    assert device.lacks_bfloat16(capabilities) == lacking


def test_this_machine_says_what_its_operating_system_says():
    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), ""
    ).split()
    assert device.lacks_bfloat16() == (bool(flags) and not {"avx512_bf16", "amx_bf16"} & set(flags))


@pytest.mark.parametrize(
    ("lacking", "precision", "warnings"), [(True, "bfloat16", 1), (False, "bfloat16", 0), (True, "float32", 0)]
)
def test_bfloat16_without_instructions_is_warned_of_once_and_trained(
    lacking, precision, warnings, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(device, "lacks_bfloat16", lambda: lacking)
    configuration = configured(tmp_path, {}, training={"epochs": 1, "precision": precision})
    preflight(configuration, TRAINER)
    ended(begun(configuration))

    said = [text for text in caplog.messages if "got bfloat16" in text]
    assert len(said) == warnings
    assert all("configuration.yaml:" in text and "--set training.precision=float32" in text for text in said)
