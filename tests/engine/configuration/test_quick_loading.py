"""The quick loader of recorded YAML reads what the ordinary one reads."""

import pytest
import yaml

from firebox.engine.configuration.core_schema import Loader
from firebox.engine.configuration.quick_loading import QuickLoader

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
    ],
)
def test_it_reads_the_same(text):
    assert yaml.load(text, Loader=QuickLoader) == yaml.load(text, Loader=Loader)


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.system [true]\n", "a: !!int x\n", "a: !own 1\n"])
def test_it_refuses_the_same(text):
    for loader in (QuickLoader, Loader):
        with pytest.raises((yaml.YAMLError, ValueError)):
            yaml.load(text, Loader=loader)
