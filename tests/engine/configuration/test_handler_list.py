"""Handlers by name: added to what a file extends, and addressed on the command line."""

import re
import shlex

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import plain, read
from firebox.engine.configuration.layers import load, set_value
from firebox.engine.configuration.nodes import parse
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

BASE = """\
handlers:
  - ema: {decay: 0.9}
  - progress: false
  - checkpoint: {keep_last: 5, keep_best: 2}
  - early_stopping
"""


def merged(folder, *added):
    """Returns the handlers of a chain of files, each of which extends the one before."""
    (folder / "0.yaml").write_text(BASE)
    for number, text in enumerate(added, 1):
        (folder / f"{number}.yaml").write_text(f"extends: {number - 1}.yaml\n{text}\n")
    return load(folder / f"{len(added)}.yaml").plain()["handlers"]


def test_entries_are_merged_with_their_namesakes_and_others_come_after_them(tmp_path):
    added = "handlers+: [checkpoint: {keep_last: 9}, image_dump: {count: 4}, ema, progress: {every: 2 epochs}]"
    assert merged(tmp_path, added) == [
        {"ema": {"decay": 0.9}},
        {"progress": {"every": "2 epochs"}},
        {"checkpoint": {"keep_last": 9, "keep_best": 2}},
        "early_stopping",
        {"image_dump": {"count": 4}},
    ]


def test_without_the_plus_the_list_replaces():
    root = parse(BASE, "x.yaml")
    set_value(root, "handlers=[image_dump]")
    assert root.plain()["handlers"] == ["image_dump"]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("handlers+: [ema: false]", {"ema": False}),
        ("handlers+: [progress]", "progress"),
        ("handlers+: [progress: null]", "progress"),
        ("handlers+: [early_stopping: {patience: 3}]", {"early_stopping": {"patience": 3}}),
        ("handlers+: [early_stopping: false]", {"early_stopping": False}),
    ],
)
def test_an_entry_of_every_form_is_laid_over_one_of_every_form(tmp_path, added, expected):
    found = merged(tmp_path, added)
    assert expected in found
    assert len(found) == 4


def test_it_works_along_a_chain_and_on_the_command_line(tmp_path):
    first, second, third = "[ema: {decay: 0.8}]", "[image_dump]", "[checkpoint: {keep_best: 1}]"
    expected = merged(tmp_path, f"handlers+: {first}", f"handlers+: {second}", "seed: 3", f"handlers+: {third}")
    assert expected == [
        {"ema": {"decay": 0.8}},
        {"progress": False},
        {"checkpoint": {"keep_last": 5, "keep_best": 1}},
        "early_stopping",
        "image_dump",
    ]
    root = load(tmp_path / "0.yaml")
    set_value(root, "handlers+=[ema: {decay: 0.8}, image_dump]")
    set_value(root, "handlers+=[{checkpoint: {keep_best: 1}}]")
    assert root.plain()["handlers"] == expected


def test_added_to_nothing_it_is_the_list(tmp_path):
    (tmp_path / "x.yaml").write_text("handlers+: [ema]\n")
    assert load(tmp_path / "x.yaml").plain() == {"handlers": ["ema"]}
    root = parse("", "x.yaml")
    set_value(root, "handlers+=[ema]")
    assert root.plain() == {"handlers": ["ema"]}


def test_the_base_itself_stays_as_it_is_for_others(tmp_path):
    merged(tmp_path, "handlers+: [checkpoint: {keep_last: 9}]")
    assert load(tmp_path / "0.yaml").plain() == parse(BASE, "x.yaml").plain()


def test_what_is_resolved_has_the_whole_list_and_resolves_to_itself(tmp_path):
    merged(tmp_path, "handlers+: [image_dump: {count: 4}]")
    configuration = read(TRAINER.name, TRAINER.default, tmp_path / "1.yaml")
    names = [named.name for named in configuration.handlers]
    assert {"ema", "early_stopping", "image_dump"} <= set(names) and "progress" not in names
    assert str(configuration.mark("handlers", "image_dump", "count")).endswith("1.yaml:2:33")
    assert "handlers+" not in plain(configuration)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("handlers+: ema", "1.yaml:2:12  handlers+: got \"ema\", expected a list, such as [ema]"),
        ("handlers+: {ema: {}}", "handlers+: got {'ema': {}}, expected a list"),
        ("handlers+: null", "handlers+: got None, expected a list"),
        ("handlers+: [ema]\nhandlers: [ema]", "1.yaml:2:1  handlers+: given beside handlers; expected one of the two"),
        ("handlers+: [3]", "1.yaml:2:13  handlers: got 3, expected a name"),
        ("handlers+: [emma]", "1.yaml:2:13  handlers.emma: unknown handler \"emma\"; did you mean ema?"),
        ("handlers+: [ema: {decy: 1}]", "1.yaml:2:19  handlers.ema.decy: unknown key; did you mean decay?"),
        ("handlers++: [ema]", "handlers++: unknown key; did you mean handlers+?"),
    ],
)  # fmt: skip
def test_what_can_not_be_added_is_refused_with_its_place(tmp_path, text, problem):
    (tmp_path / "0.yaml").write_text(BASE)
    (tmp_path / "1.yaml").write_text(f"extends: 0.yaml\n{text}\n")
    with pytest.raises(Refusal) as caught:
        read(TRAINER.name, TRAINER.default, tmp_path / "1.yaml")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("key", "steps"),
    [
        ("handlers.my.py:Slow=1", [{"my.py:Slow": 1}]),
        ("handlers.my.py:Slow.seconds=1", [{"my.py:Slow": {"seconds": 1}}]),
        ("handlers.../a.b/my.own.py:Slow.x.y=1", [{"../a.b/my.own.py:Slow": {"x": {"y": 1}}}]),
        ("handlers.package.module:Class.seconds=1", [{"package.module:Class": {"seconds": 1}}]),
        ("handlers.checkpoint.py:Slow.seconds=1", [{"checkpoint.py:Slow": {"seconds": 1}}]),
        ("handlers.tracker.parameters.a=1", [{"tracker": {"parameters": {"a": 1}}}]),
        ("handlers.my.py:=1", [{"my": {"py:": 1}}]),
    ],
)
def test_a_name_with_dots_is_one_step(key, steps):
    root = parse("", "x.yaml")
    set_value(root, key)
    assert root.plain() == {"handlers": steps}


def test_a_name_that_is_listed_is_the_one_that_is_meant():
    root = parse("handlers: [tracker.tags.a:b: {x: 1}, tracker.tags.a: {}]", "x.yaml")
    set_value(root, "handlers.tracker.tags.a:b.x=3")
    assert root.plain()["handlers"][0] == {"tracker.tags.a:b": {"x": 3}}


def test_a_key_that_can_be_read_in_two_ways_is_refused_with_two_ways_out_that_are_accepted():
    with pytest.raises(Refusal) as caught:
        set_value(parse("", "x.yaml"), "handlers.tracker.tags.a:b=3")
    message = str(caught.value)
    assert "can be the handler tracker.tags.a:b or a setting of the handler tracker" in message
    ways = [shlex.split(way)[1] for way in re.findall(r"--set '[^']*(?:'\"'\"'[^']*)*'", message)]
    assert len(ways) == 2
    results = []
    for way in ways:
        root = parse("", "x.yaml")
        set_value(root, way)
        results.append(root.plain()["handlers"])
    assert results == [[{"tracker": {"tags": {"a:b": 1}}}], [{"tracker.tags.a:b": {}}]]


def test_firebox_config_shows_where_an_added_handler_comes_from(tmp_path, capsys):
    merged(tmp_path, "trainer: cae_baseline\nhandlers+: [image_dump: {count: 4}]")
    assert main(["config", str(tmp_path / "1.yaml"), "--set", "handlers+=[ema: {decay: 0.5}]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("count: 4" in line and line.endswith("1.yaml:3:33") for line in lines)
    assert any("decay: 0.5" in line and line.endswith("--set handlers+") for line in lines)
