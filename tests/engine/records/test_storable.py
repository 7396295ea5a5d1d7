"""What a checkpoint takes comes back from it, type and all; the rest is refused before it is written."""

import datetime
import enum
import io
import math
import random
import types
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch

from firebox.engine.records.storable import Unstorable, difference, restored, snapshot

Pair = namedtuple("Pair", "a b")


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Real(float):
    __slots__ = ()


class Own(torch.Tensor):
    pass


class Remembered:
    def __init__(self):
        self.best = 1


def there_and_back(value):
    file = io.BytesIO()
    torch.save(snapshot({"x": value}), file)
    file.seek(0)
    return restored(torch.load(file, weights_only=True))["x"]


STORABLE = [
    None, True, 0, -1, 2**1999, 0.1, math.inf, 1 + 2j, "text", "\udcff", "", b"\x00", bytearray(b"a"), [], [1, [2.5]],
    (), (1, (2,)), {}, {3: "int", "a": 1, None: 2, (1, "b"): 3, True: 4, 1.5: 5, b"k": 6}, {1, 2}, set(),
    OrderedDict(b=1, a=2), Counter("aab"), torch.Size([2, 3]), torch.bfloat16, torch.device("cpu"),
    random.Random(3).getstate(), [{"a": ({"b": [None]},)}],
]  # fmt: skip


@pytest.mark.parametrize("value", STORABLE, ids=repr)
def test_what_is_allowed_comes_back_as_it_was(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    assert back == value
    assert list(back) == list(value) if isinstance(value, dict) else True


NUMPY = [
    np.float64(0.1), np.float32(0.1), np.float16(0.5), np.int64(-3), np.uint8(7), np.bool_(True), np.complex64(1j),
    np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 3)), np.array(2.5), np.arange(9.0)[::-2],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([math.nan, math.inf]), np.array([True, False]),
]  # fmt: skip


@pytest.mark.parametrize("value", NUMPY, ids=repr)
def test_numpys_come_back_as_numpys_with_their_dtype(value):
    back = there_and_back([value])[0]
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert np.array_equal(back, value, equal_nan=value.dtype.kind == "f")


def test_a_numpy_array_in_a_tuple_in_a_dict_comes_back_in_its_place():
    back = there_and_back({"window": ({"mean": np.float32(2.0)}, np.ones(2))})
    assert type(back["window"]) is tuple
    assert type(back["window"][0]["mean"]) is np.float32
    assert back["window"][1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_the_state_of_a_numpy_generator_comes_back_so_that_it_draws_on(kind):
    generator = kind(5)
    generator.random(3) if kind is np.random.default_rng else generator.rand(3)
    bits = generator.bit_generator if kind is np.random.default_rng else generator._bit_generator
    state = there_and_back(bits.state)
    expected = bits.random_raw(4).tolist()
    bits.state = state
    assert bits.random_raw(4).tolist() == expected


def recursive():
    value = []
    value.append({"again": value})
    return value


def deep():
    value = []
    for _ in range(5000):
        value = [value]
    return value


REFUSED = {
    "path": (lambda: Path("a"), "PosixPath", "str(value)"),
    "deque": (lambda: deque([1.0], maxlen=3), "a collections.deque", "list(value)"),
    "generator": (torch.Generator, "Generator", "value.get_state()"),
    "numpy generator": (np.random.default_rng, "Generator", "value.bit_generator.state"),
    "defaultdict": (lambda: defaultdict(int), "a collections.defaultdict", "dict(value)"),
    "mapping": (lambda: types.MappingProxyType({}), "mappingproxy", "dict(value)"),
    "named tuple": (lambda: Pair(1, 2), "Pair", "tuple(value)"),
    "frozenset": (lambda: frozenset({1}), "a frozenset", "set(value)"),
    "enum": (lambda: Colour.RED, "Colour", "int(value)"),
    "text": (lambda: Text("a"), "Text", "str(value)"),
    "float": (lambda: Real(1.0), "Real", "float(value)"),
    "object": (Remembered, "Remembered", "its attributes one by one"),
    "decimal": (lambda: Decimal("0.1"), "a decimal.Decimal", "str(value)"),
    "date": (lambda: datetime.datetime(2026, 1, 1), "a datetime.datetime", "value.isoformat()"),
    "function": (lambda: test_what_is_allowed_comes_back_as_it_was, "a function", ""),
    "class": (lambda: Remembered, "a type", ""),
    "range": (lambda: range(3), "a range", "list(value)"),
    "texts of numpy": (lambda: np.array(["a"]), "NumPy's, of dtype <U1", ""),
    "objects of numpy": (lambda: np.array([None]), "NumPy's, of dtype object", ""),
    "date of numpy": (lambda: np.datetime64("2026-01-01"), "NumPy's, of dtype datetime64", ""),
    "other byte order": (lambda: np.zeros(2, dtype=">f8"), "NumPy's, of dtype >f8", ""),
    "masked": (lambda: np.ma.masked_array([1.0], [True]), "MaskedArray", ""),
    "own tensor": (lambda: torch.zeros(2).as_subclass(Own), "a Own", "as_subclass(torch.Tensor)"),
    "uninitialised": (torch.nn.UninitializedParameter, "UninitializedParameter", ""),
    "path as a key": (lambda: {Path("a"): 1}, "a container with a pathlib.PosixPath as a key", "str(key)"),
    "numpy key": (lambda: {np.int64(1): 1}, "a container with a numpy.int64 as a key", "key.item()"),
    "tensor key": (lambda: {torch.zeros(1): 1}, "a container with a torch.Tensor as a key", ""),
    "key in a tuple": (lambda: {("a", Path("a")): 1}, "PosixPath as a key", ""),
    "path in a set": (lambda: {Path("a")}, "in a set", "str(key)"),
    "cycle": (recursive, "a list that contains itself", ""),
    "depth": (deep, "a list nested more than 200 deep", ""),
    "integer": (lambda: 2**3000, "an integer of 3001 bits", "str(value)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_read_back_is_refused_with_a_way_out(name):
    make, found, way_out = REFUSED[name]
    with pytest.raises(Unstorable) as caught:
        snapshot({"best": [0, make()]})
    assert found in caught.value.found
    assert way_out in caught.value.way_out
    assert str(caught.value).startswith('["best"]')


# What torch itself would not read, or not as it was: the control for the list above.
@pytest.mark.parametrize("name", ["path", "deque", "named tuple", "frozenset", "enum", "text", "own tensor", "integer"])
def test_torch_would_write_it_and_not_read_it(name):
    file = io.BytesIO()
    torch.save(REFUSED[name][0](), file)
    file.seek(0)
    with pytest.raises(Exception, match=r"."):
        torch.load(file, weights_only=True)


def test_a_snapshot_is_independent_of_what_goes_on():
    weight, array = torch.zeros(3), np.zeros(3)
    taken = snapshot({"a": [weight, 1], "b": (weight,), "c": "text", "d": array, "e": torch.nn.Parameter(weight)})
    weight.add_(1)
    array += 1
    assert taken["a"][0].sum() == 0
    assert taken["b"][0].sum() == 0
    assert taken["d"]["numpy.array"].sum() == 0
    assert taken["e"].sum() == 0


def test_the_versions_of_layers_come_back_with_a_models_state():
    class Converted(torch.nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            if metadata.get("version", 1) < 2:
                state[f"{prefix}weight"] = state[f"{prefix}weight"] * 100
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    model = Converted()
    model.load_state_dict(there_and_back(model.state_dict()))
    assert model.weight.tolist() == [1.0, 1.0]
    model.load_state_dict(dict(model.state_dict()))  # the control: without the versions
    assert model.weight.tolist() == [100.0, 100.0]


@pytest.mark.parametrize(
    ("written", "read", "keys"),
    [
        ({"a": torch.zeros(2)}, {"a": torch.ones(2)}, None),
        ({"a": [1, math.nan, "x"]}, {"a": [1, math.nan, "x"]}, None),
        ({"a": {math.nan}}, {"a": {float("nan")}}, None),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, ("a",)),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2).double()}, ("a",)),
        ({"a": torch.zeros(2)}, {"a": [0.0, 0.0]}, ("a",)),
        ({"a": [1, 2]}, {"a": [1, 3]}, ("a", 1)),
        ({"a": (1,)}, {"a": [1]}, ("a",)),
        ({"a": 1}, {"a": True}, ("a",)),
        ({"a": 1}, {"b": 1}, ()),
        ({"a": [1]}, {"a": [1, 2]}, ("a",)),
    ],
)
def test_what_is_read_otherwise_is_found(written, read, keys):
    assert difference(written, read) == keys
