"""YAML as a tree in which every key and value knows where it was written."""

import pytest

from firebox.engine.configuration.nodes import parse, parse_file
from firebox.foundation.problems import Mark, Refusal


def refused(text):
    with pytest.raises(Refusal) as caught:
        parse(text, "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_and_value_knows_its_place():
    root = parse("model:\n  name: a\n  channels: [1, 2]\n", "x.yaml")
    name = root.value["model"].value["name"]
    assert (name.key_mark, name.mark) == (Mark("x.yaml", 2, 3), Mark("x.yaml", 2, 9))
    assert root.find("model", "channels", 1).mark == Mark("x.yaml", 3, 17)
    assert str(name.mark) == "x.yaml:2:9"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+2", -250.0),
        ("2020-01-01", "2020-01-01"),
        ("1 epoch", "1 epoch"),
        ("0x10", 16),
        ("null", None),
        ("~", None),
        ("true", True),
        ("[0, 1]", [0, 1]),
        ("'[0,1]'", "[0,1]"),
    ],
)
def test_scalars_are_read_as_people_write_them(text, value):
    assert parse(f"key: {text}", "x.yaml").plain() == {"key": value}


def test_keys_are_text_as_written():
    assert parse("on: 1\n1: 2\nnull: 3\n", "x.yaml").plain() == {"on": 1, "1": 2, "null": 3}


def test_a_duplicate_key_is_refused_with_both_places():
    assert refused("a:\n  b: 1\n  c: 2\n  b: 3\n") == [
        "x.yaml:4:3  a.b: the key is given twice, first at line 2; expected once"
    ]


def test_all_duplicate_keys_come_in_one_report():
    assert len(refused("a: 1\na: 2\nb: {c: 1, c: 2}\nb: 3\n")) == 3


def test_a_merge_key_gives_what_the_map_itself_does_not():
    root = parse("base: &base {a: 1, b: 2}\nover: {<<: *base, b: 3}\n", "x.yaml")
    assert root.value["over"].plain() == {"a": 1, "b": 3}
    assert root.value["over"].value["a"].mark == Mark("x.yaml", 1, 17)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2\n", "x.yaml:2:2  not valid YAML"),
        ("a: !!python/object:os.system {}\n", "x.yaml:1:4  a: got the tag"),
        ("a: !!binary aGVsbG8=\n", "expected plain data"),
        ("a: &x [*x]\n", "an alias that contains itself"),
        ("a: *unknown\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "got a key that is not text"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: b: c\n", "not valid YAML"),
        ("\ta: 1\n", "not valid YAML"),
        ("a: \x07\n", "not valid YAML"),
        ("[" * 20000, "nested too deeply"),
        ("<<: 3\n", "expected a map"),
        ("a: !!int text\n", "a: got \"text\""),
    ],
)  # fmt: skip
def test_what_is_no_plain_yaml_is_refused_in_one_line(text, problem):
    lines = refused(text)
    assert problem in lines[0]
    assert all("\n" not in line for line in lines)


def test_aliases_that_multiply_are_refused():
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9))
    assert "more than 10000 values" in refused(f"l0: &l0 [1]\n{levels}\n")[0]


def test_an_empty_file_is_an_empty_map():
    assert parse("", "x.yaml").plain() == {}
    assert parse("# nothing\n", "x.yaml").plain() == {}


@pytest.mark.parametrize(("content", "problem"), [(b"\xff\xfe\xfa", "not UTF-8 text: byte 0"), (None, "can't read")])
def test_a_file_that_can_not_be_read_is_refused(tmp_path, content, problem):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refusal, match=problem):
        parse_file(path)
