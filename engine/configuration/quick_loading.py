"""Reading of recorded YAML at the speed that a list of a thousand runs needs: libyaml, and no scalar resolved twice."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

from firebox.engine.configuration.core_schema import Loader

KEPT_SCALARS = 4096
"""Number of different scalars that are remembered; recorded configurations repeat a few hundred."""
LONGEST_KEPT = 100
"""Number of characters up to which a scalar is remembered."""
KEPT_SECTIONS = 1024
LONGEST_SECTION = 4096
"""Number of characters up to which a section is remembered."""
_SECTIONS = re.compile(r"^(?=[a-z_]+:)", re.MULTILINE)
_MAP, _LIST, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str"))

QuickLoader: type[Any] = Loader
"""YAML's safe loader with the scalars of YAML 1.2, without marks for messages; the ordinary one without libyaml."""
if yaml.__with_libyaml__:

    class QuickLoader(yaml.CSafeLoader):  # type: ignore[no-redef]
        yaml_implicit_resolvers = Loader.yaml_implicit_resolvers
        yaml_constructors = Loader.yaml_constructors

        def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode and implicit[0]:
                return _tag(value) if len(value) <= LONGEST_KEPT else _tag.__wrapped__(value)
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

        def get_single_data(self) -> Any:
            node = self.get_single_node()
            try:
                return None if node is None else _constructed(node)
            except _Unusual:
                return self.construct_document(node)


def load_sections(text: str) -> Any:
    """Returns what the loader makes of a document, reading equal sections of several documents once.

    Runs that are listed together have most of their sections in common. What is nested in the result is shared with
    others, and not to be changed.

    Raises:
        yaml.YAMLError, ValueError: as the loader.
    """
    found: dict[str, Any] = {}
    try:
        for section in _SECTIONS.split(text):
            found |= _section(section) if len(section) <= LONGEST_SECTION else _section.__wrapped__(section)
    except (yaml.YAMLError, ValueError, _Unusual):
        # A section that is none by itself, such as the middle of a text in quotes.
        return yaml.load(text, Loader=QuickLoader)
    return found or None


@lru_cache(KEPT_SECTIONS)
def _section(text: str) -> dict[str, Any]:
    if all(line.startswith("#") for line in text.splitlines()):
        return {}
    value = yaml.load(text, Loader=QuickLoader)
    return value if isinstance(value, dict) and len(value) == 1 else _unusual()


class _Unusual(Exception):
    """There is more in the document than maps of texts, lists, texts and plain scalars."""


def _constructed(node: yaml.Node) -> Any:
    """Returns the value of a node; with PyYAML's own constructors, this is what takes most of the time."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _TEXT:
            return node.value
        return _value(node.tag, node.value) if len(node.value) <= LONGEST_KEPT else _unusual()
    if isinstance(node, yaml.SequenceNode) and node.tag == _LIST:
        return [_constructed(child) for child in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
        return {_key(key): _constructed(child) for key, child in node.value}
    return _unusual()


def _key(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT else _unusual()


def _unusual() -> Any:
    raise _Unusual


@lru_cache(KEPT_SCALARS)
def _tag(text: str) -> str:
    for tag, pattern in Loader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return _TEXT


@lru_cache(KEPT_SCALARS)
def _value(tag: str, text: str) -> Any:
    construct = Loader.yaml_constructors.get(tag)
    if construct is None or tag.rpartition(":")[2] not in ("null", "bool", "int", "float"):
        return _unusual()
    return construct(None, yaml.ScalarNode(tag, text))
