"""The quick loader of recorded YAML reads what the ordinary one reads."""

import pytest
import yaml

from firebox.engine.configuration.core_schema import Loader
from firebox.engine.configuration.quick_loading import QuickLoader, load_sections

LONG = "9" * 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\nb: [1.5, -2e3, .inf, 0x1F, 0o17, 010, 1:30, yes, true, False, null, ~, '', 'true', \"1\"]\n",
        "a: {b: {c: [[], {}, [{d: e}]]}}\n",
        f"a: {LONG}\nb: {LONG}.5\nc: x{LONG}\n",
        "1: a\ntrue: b\nnull: c\n1.5: d\n",
        "a: !!str 1\nb: !!float 1.5\nc: !!int 7\n",
        "a: !!binary aGk=\nb: !!set {x, y}\n",
        "a: {<<: {b: 1}, c: 2}\n",
        "a: 2026-01-01\n",
        "text",
        "- 1\n- [2]\n",
        "# a\n# b\nseed: 7\nmodel:\n  name: x\nhandlers:\n- a: {b: 1}\n- c\n",
        "seed: 7\nseed: 8\n",
        'a: "x\nb: y"\nc: 1\n',
        "a: 'x\n  b: y\n  '\nc: |\n  d: 1\n  e: 2\n",
        "a: [1,\n2]\nb: {c: 1,\nd: 2}\n",
        "A: 1\nb: 2\n",
        "---\na: 1\nb: 2\n",
        "{a: 1,\nb: 2}\n",
    ],
)
def test_it_reads_the_same(text):
    expected = yaml.load(text, Loader=Loader)
    assert yaml.load(text, Loader=QuickLoader) == expected
    assert load_sections(text) == expected == load_sections(text)


def test_equal_sections_are_read_once():
    first, second = load_sections("seed: 1\nmodel:\n  name: a\n"), load_sections("seed: 2\nmodel:\n  name: a\n")
    assert first["model"] is second["model"]
    assert (first["seed"], second["seed"]) == (1, 2)


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system [true]\n", "a: !!int x\n", "a: !own 1\n", "a: 1\n---\nb: 2\n"]
)
def test_it_refuses_the_same(text):
    for loader in (QuickLoader, Loader):
        with pytest.raises((yaml.YAMLError, ValueError)):
            yaml.load(text, Loader=loader)
    with pytest.raises((yaml.YAMLError, ValueError)):
        load_sections(text)
