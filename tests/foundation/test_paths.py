"""What ``~`` and ``$NAME`` in a path stand for."""

import re

import pytest

from firebox.foundation.package import shipped_configuration, shipped_configurations
from firebox.foundation.paths import expanded, is_portable


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("SCRATCH", "/scratch")
    monkeypatch.setenv("PART", "part")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/home/somebody"),
        ("~/runs", "/home/somebody/runs"),
        ("$SCRATCH/runs", "/scratch/runs"),
        ("${SCRATCH}ed/runs", "/scratched/runs"),
        ("runs/$PART", "runs/part"),
        ("a~b", "a~b"),
        ("./~", "./~"),
        ("a$", "a$"),
        ("../runs", "../runs"),
    ],
)
def test_a_path_is_expanded(text, path):
    assert expanded(text) == path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("$ABSENT/runs", "the environment variable ABSENT is not set; set it: export ABSENT="),
        ("${ABSENT}", "ABSENT is not set"),
        ("$EMPTY/runs", "EMPTY is not set"),
        ("~nobody_of_that_name/x", "no home directory is known for ~nobody_of_that_name; write the folder out, or ./~"),
    ],
)
def test_what_stands_for_nothing_is_refused(text, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        expanded(text)


def test_only_an_absolute_path_means_the_same_everywhere():
    assert all(map(is_portable, ("/x", "~/x", "$SCRATCH/x")))
    assert not any(map(is_portable, ("x", "./x", "../x", "$PART/x")))


def test_a_configuration_of_the_package_is_found_by_its_name_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = shipped_configuration("base/image.yaml")
    assert file is not None and file.is_file()
    assert shipped_configuration("configs/base/image.yaml") == file
    assert "cae/cae_baseline_fashion_mini.yaml" in shipped_configurations()


@pytest.mark.parametrize(
    "name", ["base/image", "image.yaml", "../configs/base/image.yaml", "schema.json", "", ".", "\0"]
)
def test_nothing_else_is_a_configuration_of_the_package(name):
    assert shipped_configuration(name) is None
