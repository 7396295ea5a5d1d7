"""Layers of a configuration: what a file extends, and what the command line sets on top."""

from __future__ import annotations

import os
from pathlib import Path

from firebox.engine.configuration.nodes import Node, parse, parse_file
from firebox.foundation.problems import Mark, Problem, Refusal, shown


def load(path: Path) -> Node:
    """Loads a configuration file with all that it extends.

    Raises:
        Refusal: a file that can't be read or parsed, or extends itself.
    """
    return _load(path, ())


def _load(path: Path, chain: tuple[Path, ...]) -> Node:
    node = parse_file(path)
    if not node.is_map:
        raise Refusal([Problem("", f"got {shown(node.plain())}, expected a map of keys", node.mark)])
    base = node.value.pop("extends", None)
    if base is None:
        return node
    if not isinstance(base.value, str):
        raise Refusal([Problem("extends", f"got {shown(base.plain())}, expected the path of a file", base.mark)])
    try:
        base_path = _shortest(path.parent / base.value)
        resolved, exists = base_path.resolve(), base_path.is_file()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal([Problem("extends", f"got {shown(base.value)}, which is no path: {reason}", base.mark)]) from None
    chain = (*chain, path.resolve())
    if resolved in chain:
        names = " -> ".join(file.name for file in (*chain, resolved))
        raise Refusal([Problem("extends", f"the files extend each other in a circle: {names}", base.mark)])
    if not exists:
        raise Refusal([Problem("extends", f"got {shown(base.value)}, no such file: {base_path}", base.mark)])
    return merge(_load(base_path, chain), node)


def _shortest(path: Path) -> Path:
    """The path without ``..``, as it is shown, where that is the same place."""
    shortest = Path(os.path.normpath(path))
    return shortest if shortest.resolve() == path.resolve() else path


def merge(base: Node, over: Node) -> Node:
    """Lays one tree over another: maps merge, lists and scalars replace."""
    if not (base.is_map and over.is_map):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return Node(merged, over.mark, over.key_mark)


def set_value(root: Node, assignment: str) -> None:
    """Applies ``KEY=VALUE``; the key is dotted, a handler is addressed by its name, the value is YAML.

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
    node = root
    steps = key.strip().split(".")
    for position in range(len(steps)):
        last = position == len(steps) - 1
        node = _step_into(node, steps, position, value if last else Node({}, mark, mark), mark, replace=last)


def _step_into(node: Node, steps: list[str], position: int, new: Node, mark: Mark, *, replace: bool) -> Node:
    """Returns the child of ``node`` that a step names, put there where it is absent or is to be replaced."""
    step = steps[position]
    if isinstance(node.value, list):
        for item in node.value:
            if item.value == step:
                item.value = {step: new}
                return new
            if item.is_map and step in item.value:
                return _put(item.value, step, new, replace=replace)
        node.value.append(Node({step: new}, mark, mark))
        return new
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
