"""The values that a checkpoint can hold: loading restores them unchanged, and runs no code.

One function walks a state, copies it, and checks what is allowed. NumPy's arrays and numbers travel as tensors, under
a key that says what they were, and come back as NumPy's, dtype included: a run that is resumed computes with the same
types as one that was never stopped.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EXPECTED = (
    "tensors, NumPy's arrays and numbers, None, truth values, numbers, texts, bytes, and lists, tuples, sets and dicts "
    "of them"
)
ARRAY, NUMBER = "numpy.array", "numpy.number"
"""The key of a NumPy array, or of a NumPy number, that is stored as a tensor."""

LEAVES: tuple[type, ...] = (type(None), bool, int, float, complex, str, bytes, bytearray)
LONGEST_INTEGER = 2000
"""Largest size of an integer in bits; reading a checkpoint without running code accepts up to 255 bytes."""

_WAYS_OUT = {
    "deque": "list(value)",
    "defaultdict": "dict(value)",
    "mappingproxy": "dict(value)",
    "frozenset": "set(value)",
    "range": "list(value)",
    "Generator": "value.get_state(), or value.bit_generator.state of NumPy's",
    "Random": "value.getstate()",
    "RandomState": "value.get_state()",
    "PosixPath": "str(value)",
    "Decimal": "str(value)",
    "datetime": "value.isoformat()",
}


class Unstorable(ValueError):
    """A value that could not be read back from a checkpoint.

    Args:
        keys: the keys that lead to the value from the top of the state.
        found: the kind of value, such as "a deque".
        way_out: what to store instead; empty if there is no general answer.
    """

    def __init__(self, keys: tuple[Any, ...], found: str, way_out: str = "") -> None:
        super().__init__(f"{path_text(keys)} is {found}, expected {EXPECTED}")
        self.keys = keys
        self.found = found
        self.way_out = way_out


def path_text(keys: tuple[Any, ...]) -> str:
    """Returns keys as one writes them in Python: ``["window"][3]``."""
    return "".join(f'["{key}"]' if isinstance(key, str) else f"[{key!r}]" for key in keys)


def snapshot(value: Any, keys: tuple[Any, ...] = ()) -> Any:
    """Copies a state to the CPU, so that it can be written while training goes on and be read back.

    Args:
        value: the state.
        keys: the keys that lead to it, for the message.

    Raises:
        Unstorable: names the first value that a checkpoint can't hold, and where it is.
    """
    return _copy(value, keys, ())


def restored(value: Any) -> Any:
    """Returns a state that was read with NumPy's arrays and numbers in the place of the tensors that stood for them."""
    kind = type(value)
    if kind is dict and len(value) == 1:
        if ARRAY in value:
            return value[ARRAY].cpu().numpy()
        if NUMBER in value:
            return value[NUMBER].cpu().numpy()[()]
    if kind in (dict, OrderedDict):
        for key, child in value.items():
            value[key] = restored(child)
    elif kind is list:
        value[:] = map(restored, value)
    elif kind is tuple:
        return tuple(map(restored, value))
    return value


def difference(written: Any, read: Any, keys: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
    """Returns the keys of the first value that was not read as it was written; None if all were.

    Of tensors the dtype and the shape are compared, not the content: that is what a checkpoint's SHA-256 is for.
    """
    import torch

    if isinstance(written, torch.Tensor):
        same = isinstance(read, torch.Tensor) and (written.dtype, written.shape) == (read.dtype, read.shape)
        return None if same else keys
    if type(written) is not type(read):
        return keys
    if isinstance(written, dict):
        if written.keys() != read.keys():
            return keys
        pairs = [(key, child, read[key]) for key, child in written.items()]
    elif isinstance(written, list | tuple) and len(written) == len(read):
        pairs = [(i, *pair) for i, pair in enumerate(zip(written, read, strict=True))]
    else:
        equal = written == read or (isinstance(written, float) and math.isnan(written) and math.isnan(read))
        # NaN within a complex number or a set equals nothing, itself included.
        return None if equal or repr(written) == repr(read) else keys
    for key, ours, theirs in pairs:
        found = difference(ours, theirs, (*keys, key))
        if found is not None:
            return found
    return None


def _copy(value: Any, keys: tuple[Any, ...], around: tuple[int, ...]) -> Any:
    """Copies a value; ``around`` has the identities of the containers that it is in."""
    import torch

    kind = type(value)
    if isinstance(value, torch.Tensor):
        return _tensor(value, keys)
    if kind in LEAVES:
        if kind is int and value.bit_length() > LONGEST_INTEGER:
            raise Unstorable(keys, f"an integer of {value.bit_length()} bits", "str(value)")
        return value
    if kind in (torch.Size, torch.dtype, torch.device):
        return value
    if id(value) in around:
        raise Unstorable(keys, f"a {kind.__name__} that contains itself")
    if len(keys) > 200:
        raise Unstorable(keys[:3], f"a {kind.__name__} nested more than 200 deep")
    around = (*around, id(value))
    if kind in (dict, OrderedDict, Counter):
        for key in value:
            _refuse_key(key, keys)
        copied = {key: _copy(child, (*keys, key), around) for key, child in value.items()}
        if kind is dict:
            return copied
        again: Any = kind(copied)
        if "_metadata" in vars(value):  # torch's versions of the layers, by which old weights are converted
            again._metadata = _copy(value._metadata, (*keys, "_metadata"), around)
        return again
    if kind in (list, tuple):
        return kind([_copy(child, (*keys, number), around) for number, child in enumerate(value)])
    if kind is set:
        for child in value:
            _refuse_key(child, keys)
        return set(value)
    return _from_numpy(value, keys)


def _tensor(value: torch.Tensor, keys: tuple[Any, ...]) -> torch.Tensor:
    # A subclass of somebody else's would have to be imported to be read. Torch's own stand for a tensor while a run is
    # rehearsed.
    if not type(value).__module__.startswith("torch"):
        raise Unstorable(keys, f"a {type(value).__name__}", "value.as_subclass(torch.Tensor)")
    try:
        return value.detach().clone() if value.device.type == "cpu" else value.detach().to("cpu")
    except (ValueError, NotImplementedError) as error:  # one that has no values yet, such as a lazy layer's
        raise Unstorable(keys, f"a {type(value).__name__} that can't be copied ({str(error).split('.')[0]})") from None


def _from_numpy(value: Any, keys: tuple[Any, ...]) -> Any:
    import numpy
    import torch

    if type(value) is numpy.ndarray or isinstance(value, numpy.generic):
        try:
            tensor = torch.from_numpy(numpy.array(value, order="C"))
        except (TypeError, ValueError):
            raise Unstorable(keys, f"NumPy's, of dtype {value.dtype}, which torch has none for") from None
        return {ARRAY if isinstance(value, numpy.ndarray) else NUMBER: tensor}
    raise Unstorable(keys, _article(type(value)), _way_out(value))


def _refuse_key(key: Any, keys: tuple[Any, ...]) -> None:
    """Refuses what can't be the key of a dict, or in a set."""
    if type(key) is tuple:
        for part in key:
            _refuse_key(part, keys)
    elif type(key) not in LEAVES:
        way_out = "str(key)" if not hasattr(key, "item") else "key.item()"
        raise Unstorable(keys, f"a container with {_article(type(key))} as a key or in a set", way_out)


def _article(kind: type) -> str:
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _way_out(value: Any) -> str:
    if type(value).__name__ in _WAYS_OUT:
        return _WAYS_OUT[type(value).__name__]
    if hasattr(value, "_fields"):
        return "tuple(value)"
    for plain in (str, int, float, list, dict):
        if isinstance(value, plain):
            return f"{plain.__name__}(value)"
    return "its attributes one by one" if hasattr(value, "__dict__") else ""
