"""YAML 1.2's core schema: reading and writing unquoted scalars."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

MAXIMUM_BYTES = 1 << 18
"""Largest size of a document in bytes, far above any configuration; PyYAML parses it in a quarter of a second."""
MAXIMUM_VALUES = 10_000
"""Largest number of keys and values in a document."""
MAXIMUM_DEPTH = 100
"""Largest depth of maps and lists inside one another."""
TOO_LONG = f"got more than {MAXIMUM_BYTES:,} bytes, expected a configuration of at most that"
TOO_MANY = f"got more than {MAXIMUM_VALUES} values, expected a configuration of at most that"
TOO_DEEP = f"nested too deeply; expected at most {MAXIMUM_DEPTH} levels"
_LONGEST_INTEGER = 1000
"""Largest number of digits; Python itself refuses to write integers of more than 4,300 digits."""
_FIRST = list("-+.0123456789~nNtTfF")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of more than {_LONGEST_INTEGER} digits")
    return int(text, 0) if text.startswith(("0x", "0o")) else int(text)


def _number(text: str) -> float:
    sign, word = (-1.0 if text.startswith("-") else 1.0), text.lstrip("+-").lower()
    return sign * math.inf if word == ".inf" else math.nan if word == ".nan" else float(text)


_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), lambda _: None),
    "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), lambda text: text.lower() == "true"),
    "int": (re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), _integer),
    "float": (
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        _number,
    ),
}
"""The pattern and the meaning of an unquoted scalar, by tag. The first match counts; everything else is text."""


class TooLarge(yaml.MarkedYAMLError):
    """The document exceeds the limits of a configuration."""


class Loader(yaml.SafeLoader):
    """YAML's safe loader, with the scalars of YAML 1.2 and limits that are checked while the document is composed."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._values += 1
        if self._values > MAXIMUM_VALUES:
            raise TooLarge(problem=TOO_MANY, problem_mark=event.start_mark)
        if self._depth > MAXIMUM_DEPTH:
            raise TooLarge(problem=TOO_DEEP, problem_mark=event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


Loader.yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile(r"^<<$"))]}


class Dumper(yaml.SafeDumper):
    """YAML's safe dumper, which quotes every string that YAML 1.1 or YAML 1.2 would read as another type."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Between single quotes, PyYAML leaves some line breaks as they are, and they would be read as spaces.
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written in full, because readers of a configuration expect no anchors."""
        return True


def _constructor(tag: str) -> Callable[[yaml.SafeLoader, yaml.ScalarNode], Any]:
    pattern, meaning = _SCALARS[tag]

    def construct(_: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        if not pattern.match(node.value):  # the tag was given explicitly, as in !!int text
            raise ValueError(f"not written as YAML 1.2 writes !!{tag}")
        return meaning(node.value)

    return construct


for _tag, (_pattern, _) in _SCALARS.items():
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, [*_FIRST, ""])
    Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _constructor(_tag))
Dumper.add_representer(str, Dumper.represent_str)


def write(value: Any) -> str:
    """Returns plain data as a YAML document that ``parse`` reads back to the same data."""
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True))


def write_inline(value: Any) -> str:
    """Returns plain data on one line of YAML."""
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return str(text).removesuffix("\n").removesuffix("\n...")
