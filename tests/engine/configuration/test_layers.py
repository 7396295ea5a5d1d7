"""What a file extends, and what the command line sets on top."""

import pytest

from firebox.engine.configuration.layers import load, set_value
from firebox.engine.configuration.nodes import parse
from firebox.foundation.problems import Mark, Refusal


def written(folder, **files):
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
    return folder


def test_maps_merge_and_lists_and_scalars_replace(tmp_path):
    written(
        tmp_path,
        base="model: {name: a, channels: [1, 2], depth: 3}\nseed: 1\n",
        top="extends: base.yaml\nmodel: {channels: [9], depth: null}\n",
    )
    root = load(tmp_path / "top.yaml")
    assert root.plain() == {"model": {"name": "a", "channels": [9], "depth": None}, "seed": 1}
    model = root.value["model"].value
    assert model["name"].mark == Mark(str(tmp_path / "base.yaml"), 1, 15)
    assert model["channels"].mark == Mark(str(tmp_path / "top.yaml"), 2, 19)


def test_a_chain_of_three_keeps_every_place(tmp_path):
    written(tmp_path, a="x: 1\ny: 1\nz: 1\n", b="extends: a.yaml\ny: 2\nz: 2\n", c="extends: b.yaml\nz: 3\n")
    root = load(tmp_path / "c.yaml")
    assert [root.value[key].mark.source[-6:] for key in "xyz"] == ["a.yaml", "b.yaml", "c.yaml"]


def test_the_path_shown_has_no_detours(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "base.yaml").write_text("x: 1\n")
    (tmp_path / "one" / "top.yaml").write_text("extends: ../base.yaml\n")
    assert load(tmp_path / "one" / "top.yaml").value["x"].mark.source == str(tmp_path / "base.yaml")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"top": "extends: top.yaml\n"}, "in a circle: top.yaml -> top.yaml"),
        ({"top": "extends: a.yaml\n", "a": "extends: ./top.yaml\n"}, "in a circle: top.yaml -> a.yaml -> top.yaml"),
        ({"top": "extends: absent.yaml\n"}, 'extends: got "absent.yaml", no such file'),
        ({"top": "extends: .\n"}, "no such file"),
        ({"top": "extends: [a, b]\n"}, "expected the path of a file"),
        ({"top": 'extends: "\\0"\n'}, "which is no path: embedded null byte"),
        ({"top": f"extends: {'x' * 5000}\n"}, "which is no path: File name too long"),
        ({"top": "- 1\n"}, "expected a map of keys"),
        ({"top": "extends: a.yaml\n", "a": "3\n"}, "expected a map of keys"),
    ],
)
def test_what_can_not_be_extended_is_refused_with_its_place(tmp_path, files, problem):
    with pytest.raises(Refusal) as caught:
        load(written(tmp_path, **files) / "top.yaml")
    assert problem in str(caught.value)
    assert caught.value.problems[0].mark.line == 1


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("training.epochs=3", {"training": {"epochs": 3}}),
        ("training.lr=1e-4", {"training": {"lr": 1e-4}}),
        ("training={epochs: 3}", {"training": {"epochs": 3}}),
        ("seed=", {"seed": None}),
        ("seed=null", {"seed": None}),
        ("seed={}", {"seed": {}}),
        ("model.channels=[1, 2]", {"model": {"channels": [1, 2]}}),
        ("model.name=a=b", {"model": {"name": "a=b"}}),
        ("handlers.ema.decay=0.9", {"handlers": [{"ema": {"decay": 0.9}}]}),
        ("handlers.ema=false", {"handlers": [{"ema": False}]}),
        ("handlers=[ema]", {"handlers": ["ema"]}),
    ],
)
def test_an_assignment_makes_what_is_not_there(assignment, expected):
    root = parse("", "x.yaml")
    set_value(root, assignment)
    assert root.plain() == expected


def test_a_handler_is_addressed_by_its_name_however_it_is_listed():
    root = parse("handlers: [a, b: {every: 1 epoch}, c: null]", "x.yaml")
    for assignment in ("handlers.a.x=1", "handlers.b.every=2 epochs", "handlers.c.x=3", "handlers.b.y=4"):
        set_value(root, assignment)
    assert root.plain() == {"handlers": [{"a": {"x": 1}}, {"b": {"every": "2 epochs", "y": 4}}, {"c": {"x": 3}}]}


def test_what_was_set_says_so():
    root = parse("training: {epochs: 1}", "x.yaml")
    set_value(root, "training.epochs=3")
    assert str(root.value["training"].value["epochs"].mark) == "--set training.epochs"


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("training.epochs", "expected KEY=VALUE, such as training.epochs=3"),
        ("=3", "expected KEY=VALUE"),
        ("seed.x=3", "seed.x: seed is 1, which has no keys"),
        ("model.name=[1", "not valid YAML"),
        ("model={a: 1, a: 2}", "given twice"),
    ],
)
def test_an_assignment_that_can_not_be_is_refused(assignment, problem):
    with pytest.raises(Refusal) as caught:
        set_value(parse("seed: 1", "x.yaml"), assignment)
    assert problem in str(caught.value)
    assert "--set" in str(caught.value)
