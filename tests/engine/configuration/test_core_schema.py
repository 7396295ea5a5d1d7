"""Scalars as YAML 1.2's core schema has them, read and written."""

import math
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from firebox.engine.configuration.core_schema import MAXIMUM_BYTES, write, write_inline
from firebox.engine.configuration.layers import set_value
from firebox.engine.configuration.nodes import parse, parse_file
from firebox.foundation.problems import Refusal

CASES = [
    ("010", 10),
    ("-007", -7),
    ("+3", 3),
    ("0o10", 8),
    ("0x1F", 31),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("1:30:00.5", "1:30:00.5"),
    (".5", 0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("1E-4", 1e-4),
    ("+.inf", math.inf),
    ("-.INF", -math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("~", None),
    ("NULL", None),
    ("none", "none"),
    ("True", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("yes", "yes"),
    ("No", "No"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("=", "="),
    ("2020-01-01", "2020-01-01"),
    ("'010'", "010"),
    ('"true"', "true"),
    ("!!str 010", "010"),
]


@pytest.mark.parametrize(("written", "value"), CASES)
def test_a_scalar_means_what_yaml_1_2_says_in_a_file_and_on_the_command_line(written, value):
    read = parse(f"key: {written}", "x.yaml").value["key"].value
    root = parse("", "x.yaml")
    set_value(root, f"key={written}")
    for found in (read, root.value["key"].value):
        assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("written", ["010", "1:30", "yes", "0o17"])
def test_yaml_1_1_would_read_it_otherwise(written):
    assert yaml.safe_load(written) != parse(f"key: {written}", "x.yaml").value["key"].value


@pytest.mark.parametrize(
    "written", ["!!int 1_000", "!!bool yes", "!!float 1:30", "!!int 08x", "9" * 5000, "0x" + "9" * 5000]
)
def test_a_scalar_that_its_tag_does_not_have_is_refused(written):
    with pytest.raises(Refusal, match=r"x\.yaml:1:6  key: got"):
        parse(f"key: {written}", "x.yaml")


def test_a_date_by_its_tag_is_no_plain_data():
    with pytest.raises(Refusal, match="expected plain data"):
        parse("key: !!timestamp 2020-01-01", "x.yaml")


TEXTS = (
    st.sampled_from([text for text, _ in CASES if not text.startswith(("'", '"', "!"))])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.text(" x\n'\"#:\u2028🔥", max_size=200)
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(DATA)
def test_what_is_written_is_read_back_to_the_same(value):
    assert parse(write({"key": value}), "x.yaml").plain() == {"key": value}
    assert parse(write_inline({"key": value}), "x.yaml").plain() == {"key": value}


@pytest.mark.parametrize("text", ["010", "1:30", "yes", "1e3", "0o10", "null", ""])
def test_a_text_that_another_reader_would_take_for_something_else_is_quoted(text):
    assert write({"key": text}) == f"key: '{text}'\n"
    assert yaml.safe_load(write({"key": text})) == {"key": text}


LISTS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9))
CHAIN = "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 300))
MERGES = "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 9))
TOO_LARGE = {
    "twenty_megabytes": ("a: 1 # " + "x" * 20_000_000, "got more than 262,144 bytes, expected a configuration of at"),
    "one_value_of_ten_megabytes": ("a: '" + "x" * 10_000_000 + "'", "got more than 262,144 bytes"),
    "nested_100000_deep": ("a: " + "[" * 100_000, "nested too deeply; expected at most 100 levels"),
    "nested_by_indentation": ("- " * 100_000, "nested too deeply"),
    "nested_by_aliases": (f"l0: &l0 [1]\n{CHAIN}", "nested too deeply"),
    "a_list_of_100000": ("a: [" + "1," * 100_000 + "]", "got more than 10000 values"),
    "30000_keys": ("".join(f"{n}: 1\n" for n in range(30_000)), "got more than 10000 values"),
    "80000_aliases": ("{a: &a 1, b: [" + "*a," * 80_000 + "]}", "got more than 10000 values"),
    "aliases_that_multiply": (f"l0: &l0 [1]\n{LISTS}", "got more than 10000 values"),
    "merges_that_multiply": (f"m0: &m0 {{x: 1}}\n{MERGES}", "got more than 10000 values"),
}


@pytest.mark.parametrize(("text", "problem"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_more_than_a_configuration_can_be_is_refused_in_one_line_in_a_second(tmp_path, text, problem):
    path = tmp_path / "config.yaml"
    path.write_text(text)

    def by_file():
        parse_file(path)

    def by_option():
        set_value(parse("", "x.yaml"), f"model={text.removeprefix('a: ')}")

    for read in (by_file, by_option):
        start = time.process_time()
        with pytest.raises(Refusal) as caught:
            read()
        assert time.process_time() - start < 1
        (found,) = caught.value.problems
        assert problem in found.message
        assert "\n" not in str(found)


def test_what_is_just_small_enough_is_read():
    text = "a: '" + "x" * (MAXIMUM_BYTES - 6) + "'\n"
    assert len(text) == MAXIMUM_BYTES
    assert len(parse(text, "x.yaml").plain()["a"]) == MAXIMUM_BYTES - 6
    assert len(parse("a: [" + "1," * 9_990 + "]", "x.yaml").plain()["a"]) == 9_990


def test_a_file_that_never_ends_is_refused():
    with pytest.raises(Refusal, match="got more than 262,144 bytes"):
        parse_file(Path("/dev/zero"))
