"""What a file extends, and what the command line sets on top."""

from pathlib import Path

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


def test_shipped_configurations_are_found_by_name_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cae/cae_baseline_fashion_mini.yaml", "configs/cae/cae_baseline_fashion_mini.yaml"):
        assert load(Path(name)).plain()["datamodule"]["name"] == "fashion_mini"
        written(tmp_path, top=f"extends: {name}\nseed: 1\n")
        root = load(tmp_path / "top.yaml")
        assert (root.plain()["seed"], root.plain()["model"]["name"]) == (1, "cae_baseline")


def test_the_users_own_file_comes_before_a_shipped_one_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "here/base").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here/base/image.yaml").write_text("seed: 1\n")
    (tmp_path / "there/top.yaml").write_text("extends: base/image.yaml\n")
    monkeypatch.chdir(tmp_path / "here")
    assert load(Path("base/image.yaml")).plain() == {"seed": 1}
    assert load(tmp_path / "there/top.yaml").plain() == {"seed": 1}, "beside the file, then the working directory"
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "there/top.yaml").plain()["seed"] == 7, "then those that come with Firebox"


def test_a_configuration_that_is_nowhere_is_refused_with_the_closest_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match=r"No such file or directory; .* did you mean cae/cae_baseline_mnist\.yaml\?"):
        load(Path("cae/cae_baseline_mnst.yaml"))
    written(tmp_path, top="extends: base/images.yaml\n")
    with pytest.raises(Refusal, match=r'got "base/images\.yaml", no such file: .* did you mean base/image\.yaml\?'):
        load(tmp_path / "top.yaml")


@pytest.mark.parametrize("name", ["x" * 5000, "/" + "x" * 5000, ".", "/"])
def test_what_is_no_file_is_refused_in_one_line(name):
    with pytest.raises(Refusal, match="can't read the configuration: ") as caught:
        load(Path(name))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["~/base.yaml", "$PLACE/base.yaml"])
def test_an_extended_file_may_be_named_from_home_or_a_variable(tmp_path, monkeypatch, name):
    (tmp_path / "place").mkdir()
    (tmp_path / "place/base.yaml").write_text("seed: 5\n")
    monkeypatch.setenv("HOME", str(tmp_path / "place"))
    monkeypatch.setenv("PLACE", str(tmp_path / "place"))
    assert load(written(tmp_path, top=f"extends: {name}\n") / "top.yaml").plain() == {"seed": 5}


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
