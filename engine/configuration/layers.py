"""Layers of a configuration: the files that it extends, and the values that the command line sets."""

from __future__ import annotations

import os
from pathlib import Path

from firebox.engine.configuration import handler_list
from firebox.engine.configuration.handler_list import APPENDED
from firebox.engine.configuration.nodes import Node, parse, parse_file
from firebox.engine.configuration.paths import places
from firebox.foundation.package import shipped_configuration, shipped_configurations
from firebox.foundation.problems import Mark, Problem, Refusal, shown, suggestion


def load(path: Path) -> Node:
    """Loads a configuration file with all that it extends. A file that is missing may be one of the package's by name.

    Raises:
        Refusal: a file can't be read or parsed, or extends itself.
    """
    if not (os.path.exists(path) or path.is_absolute()):  # noqa: PTH110 - pathlib's raises for a name too long
        shipped = shipped_configuration(path.as_posix())
        if shipped is None:
            message = f"No such file or directory; of the configurations that come with Firebox, {_known(path)}"
            raise Refusal([Problem("", f"can't read the configuration: {message}", Mark(str(path)))])
        path = shipped
    return _load(path, ())


def _load(path: Path, chain: tuple[Path, ...]) -> Node:
    node = parse_file(path)
    if not node.is_map:
        raise Refusal([Problem("", f"got {shown(node.plain())}, expected a map of keys", node.mark)])
    base, added = node.value.pop("extends", None), node.value.pop(APPENDED, None)
    if added is not None and "handlers" in node.value:
        raise Refusal([Problem(APPENDED, "given beside handlers; expected one of the two", added.key_mark)])
    if base is not None:
        chain = (*chain, path.resolve())
        node = merge(_load(_base(base, chain), chain), node)
    if added is not None:
        handler_list.append(node, added)
    return node


def _base(extends: Node, chain: tuple[Path, ...]) -> Path:
    """Loads the file that a configuration extends."""
    name, mark = extends.value, extends.mark
    if not isinstance(name, str):
        raise Refusal([Problem("extends", f"got {shown(extends.plain())}, expected the path of a file", mark)])
    try:
        found = places(name, mark)
        base = next((place for place in found if place.is_file()), None) or shipped_configuration(name)
        resolved = None if base is None else base.resolve()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal([Problem("extends", f"got {shown(name)}, which is no path: {reason}", mark)]) from None
    if base is None:
        where = " or ".join(map(str, found))
        message = f"got {shown(name)}, no such file: {where}; of the configurations that come with Firebox, "
        raise Refusal([Problem("extends", message + _known(Path(name)), mark)])
    if resolved in chain:
        names = " -> ".join(file.name for file in (*chain, base))
        raise Refusal([Problem("extends", f"the files extend each other in a circle: {names}", mark)])
    return base


def _known(path: Path) -> str:
    return suggestion(path.as_posix(), shipped_configurations())


def merge(base: Node, over: Node) -> Node:
    """Lays one tree over another: maps are merged, lists and scalars are replaced."""
    if not (base.is_map and over.is_map):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return Node(merged, over.mark, over.key_mark)


def set_value(root: Node, assignment: str) -> None:
    """Applies ``KEY=VALUE``. The key is dotted and addresses a handler by its name; the value is YAML.

    Raises:
        Refusal: the assignment has no ``=``, its value is not YAML, or its key leads through a scalar.
    """
    key, equals, text = assignment.partition("=")
    mark = Mark(f"--set {key}")
    if not equals or not key.strip():
        raise Refusal([Problem("", "expected KEY=VALUE, such as training.epochs=3", Mark(f"--set {assignment}"))])
    try:
        value = parse(text, mark.source) if text.strip() else Node(None, mark)
    except Refusal as refusal:
        raise Refusal([Problem(key, problem.message, mark) for problem in refusal.problems]) from None
    if text.strip() and value.is_map and not value.value and "{" not in text:
        value = Node(None, mark)
    _remark(value, mark)
    key = key.strip()
    if key == APPENDED:
        handler_list.append(root, value)
        return
    if key == "extends":
        message = "is what one file says of another; expected the configuration itself as CONFIG, or extends in a file"
        raise Refusal([Problem(key, message, mark)])
    steps = handler_list.steps(root, key, mark)
    node = root
    for position in range(len(steps)):
        last = position == len(steps) - 1
        node = _step_into(node, steps, position, value if last else Node({}, mark, mark), mark, replace=last)


def _step_into(node: Node, steps: list[str], position: int, new: Node, mark: Mark, *, replace: bool) -> Node:
    """Returns the child of ``node`` that a step names; inserts ``new`` if the child is absent or to be replaced."""
    step = steps[position]
    if isinstance(node.value, list):
        parameters = handler_list.entry(node, step, mark)
        if replace:
            # The handler's name keeps its mark, because a relative path in it starts from there.
            parameters.value, parameters.mark = new.value, new.mark
        return parameters
    if node.value is None:
        node.value = [] if steps[position - 1] == "handlers" else {}
        return _step_into(node, steps, position, new, mark, replace=replace)
    if not isinstance(node.value, dict):
        reason = f"{'.'.join(steps[:position])} is {shown(node.plain())}, which has no keys"
        raise Refusal([Problem(".".join(steps), reason, mark)])
    if step == "handlers" and step not in node.value and not replace:
        new = Node([], mark, mark)
    return _put(node.value, step, new, replace=replace)


def _put(entries: dict[str, Node], key: str, new: Node, *, replace: bool) -> Node:
    if replace or key not in entries:
        entries[key] = new
    return entries[key]


def _remark(node: Node, mark: Mark) -> None:
    node.mark = node.key_mark = mark
    children = (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    )
    for child in children:
        _remark(child, mark)
