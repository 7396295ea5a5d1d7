"""YAML as a tree in which every key and value knows where it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from firebox.engine.configuration.core_schema import (
    MAXIMUM_BYTES,
    MAXIMUM_DEPTH,
    MAXIMUM_VALUES,
    TOO_DEEP,
    TOO_LONG,
    TOO_MANY,
    Loader,
    TooLarge,
)
from firebox.foundation.problems import Mark, Problem, Refusal, shown

_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class Node:
    """A value of the configuration.

    Args:
        value: scalar, dict from str to Node, or list of Node.
        mark: place of the value.
        key_mark: place of its key; the value's own place for list items and the root.
    """

    value: Any
    mark: Mark
    key_mark: Mark = field(default=Mark(""))

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    def plain(self) -> Any:
        """Returns the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def find(self, *path: str | int) -> Node:
        """Returns the node at ``path``, or the deepest one on the way that exists."""
        node = self
        for step in path:
            in_map = isinstance(node.value, dict) and step in node.value
            in_list = isinstance(node.value, list) and isinstance(step, int) and step < len(node.value)
            if not (in_map or in_list):
                break
            node = node.value[step]
        return node

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value


def parse(text: str, source: str) -> Node:
    """Parses a YAML document.

    Args:
        text: text of the document.
        source: path of the file, for messages.

    Raises:
        Refusal: the document has a syntax error, a duplicate key, a key that is not text, a tag or a cyclic alias, or
            exceeds the limits of a configuration.
    """
    if len(text) > MAXIMUM_BYTES:
        raise Refusal([Problem("", TOO_LONG, Mark(source))])
    try:
        loader = Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(source, place.line + 1, place.column + 1) if place else Mark(source)
        what = (
            str(error.problem) if isinstance(error, TooLarge) else f"not valid YAML: {error.problem or error.context}"
        )
        raise Refusal([Problem("", what, mark)]) from None
    except yaml.YAMLError as error:
        raise Refusal([Problem("", f"not valid YAML: {str(error).splitlines()[0]}", Mark(source))]) from None
    if root is None:
        return Node({}, Mark(source, 1, 1), Mark(source, 1, 1))
    converter = _Converter(loader, source)
    node = converter.convert(root, ())
    if converter.problems:
        raise Refusal(converter.problems)
    return node


def parse_file(path: Path) -> Node:
    """Parses a YAML file; a file that can't be read is refused."""
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise Refusal([Problem("", TOO_LONG, Mark(str(path)))])
        return parse(content.decode(), str(path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Refusal([Problem("", f"can't read the configuration: {reason}", Mark(str(path)))]) from None
    except UnicodeDecodeError as error:
        raise Refusal([Problem("", f"not UTF-8 text: byte {error.start}", Mark(str(path)))]) from None


class _Converter:
    def __init__(self, loader: yaml.SafeLoader, source: str) -> None:
        self._loader = loader
        self._source = source
        self._count = 0
        self._open: set[int] = set()
        self.problems: list[Problem] = []

    def convert(self, node: yaml.Node, path: tuple[str, ...]) -> Node:
        mark = self._mark(node)
        self._count += 1
        if id(node) in self._open:
            raise Refusal([Problem(".".join(path), "got an alias that contains itself", mark)])
        if self._count > MAXIMUM_VALUES or len(path) > MAXIMUM_DEPTH:  # aliases are counted in full
            raise Refusal([Problem("", TOO_MANY if self._count > MAXIMUM_VALUES else TOO_DEEP, mark)])
        self._open.add(id(node))
        try:
            return Node(self._value(node, path), mark, mark)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            message = f"got the tag {shown(node.tag)}, expected plain data"
            self.problems.append(Problem(".".join(path), message, self._mark(node)))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, str(index))) for index, item in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            self.problems.append(Problem(".".join(path), f"got {shown(node.value)}: {reason}", self._mark(node)))
            return None
        if not isinstance(value, str | int | float | None):
            self.problems.append(
                Problem(".".join(path), f"got the tag {node.tag}, expected plain data", self._mark(node))
            )
            return None
        return value

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in sources:
                    if isinstance(source, yaml.MappingNode):
                        merged = {**self.convert(source, path).value, **merged}
                    else:
                        self.problems.append(Problem(".".join(path), "<<: expected a map", self._mark(source)))
                continue
            key, key_mark = self._key(key_node), self._mark(key_node)
            if key is None:
                self.problems.append(Problem(".".join(path), "got a key that is not text", key_mark))
                continue
            if key in entries:
                first = entries[key].key_mark
                message = f"the key is given twice, first at line {first.line}; expected once"
                self.problems.append(Problem(".".join((*path, key)), message, key_mark))
                continue
            child = self.convert(value_node, (*path, key))
            child.key_mark = key_mark
            entries[key] = child
        return {**merged, **entries}

    def _key(self, node: yaml.Node) -> str | None:
        """Returns a key as the text that was written, including ``on:`` and ``1:``, which YAML would convert."""
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self._source, node.start_mark.line + 1, node.start_mark.column + 1)
