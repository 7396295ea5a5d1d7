"""The list of handlers: finding entries by name, and adding entries to those of an extended file."""

from __future__ import annotations

import re

from firebox.engine.components.catalogue import catalogue
from firebox.engine.configuration.core_schema import write_inline
from firebox.engine.configuration.nodes import Node
from firebox.engine.configuration.paths import located_reference, names_file
from firebox.foundation.problems import Mark, Problem, Refusal, setting, shown

APPENDED = "handlers+"
"""The key whose list is added to the existing handlers, entry by entry, whereas ``handlers`` replaces them."""
_REFERENCE = re.compile(r"([^:]+:[^\W\d]\w*)(?:\.(.+))?")
"""A component's name by import path or file, and the rest of the key."""


def append(root: Node, added: Node) -> None:
    """Adds entries to a configuration's handlers; an entry of the same name is merged into the existing one.

    Raises:
        Refusal: the value to add is not a list.
    """
    if not isinstance(added.value, list):
        message = f"got {shown(added.plain())}, expected a list, such as [ema]"
        raise Refusal([Problem(APPENDED, message, added.mark)])
    present = root.value.get("handlers")
    if present is None or present.value is None:
        present = root.value["handlers"] = Node([], added.mark, added.key_mark)
    if not isinstance(present.value, list):
        return  # refused when the sections are read
    for item in added.value:
        name, parameters = _entry(item)
        if name is None:
            present.value.append(item)
            continue
        place = _place(present, name, item.mark)
        if place is None:
            present.value.append(item)
            continue
        before_name, before = _entry(present.value[place])
        assert before_name is not None
        if parameters is None or parameters.value is None:
            if before is not None and before.value is False:
                present.value[place] = Node(before_name, item.mark, before.key_mark)
        elif parameters.is_map and before is not None and before.is_map:
            before.value.update(parameters.value)
        else:
            # The name keeps its mark, because a relative path in it starts from there.
            parameters.key_mark = present.value[place].mark if before is None else before.key_mark
            present.value[place] = Node({before_name: parameters}, item.mark, item.key_mark)


def entry(handlers: Node, name: str, mark: Mark) -> Node:
    """Returns the parameters of the handler of that name, which is appended to the list if it is not there.

    Args:
        handlers: list of handlers.
        name: name as given on the command line.
        mark: mark of the option that names it.
    """
    place = _place(handlers, name, mark)
    if place is None:
        handlers.value.append(Node({name: Node({}, mark, mark)}, mark, mark))
        place = len(handlers.value) - 1
    item = handlers.value[place]
    if not item.is_map:
        item.value = {item.value: Node({}, item.mark, item.mark)}
    parameters: Node = next(iter(item.value.values()))
    return parameters


def steps(root: Node, key: str, mark: Mark) -> list[str]:
    """Returns the parts of a dotted key; a handler's name may itself have dots.

    Raises:
        Refusal: the key is ambiguous.
    """
    first, _, rest = key.partition(".")
    if first != "handlers" or ":" not in rest:
        return key.split(".")
    handlers = root.value.get("handlers") if root.is_map else None
    listed = [_entry(item)[0] for item in handlers.value] if handlers and isinstance(handlers.value, list) else []
    for name in sorted(filter(None, listed), key=len, reverse=True):
        if ":" in name and f"{rest}.".startswith(f"{name}."):
            below = rest.removeprefix(name)[1:]
            return [first, name, *(below.split(".") if below else ())]
    match = _REFERENCE.fullmatch(rest)
    if match is None:
        return key.split(".")
    name, below = match[1], match[2]
    short, *inner = rest.split(".")
    if not names_file(name) and (short in listed or short in catalogue("handler")):
        one = setting(f"handlers.{short}", write_inline(_nested(inner)))
        parameters = _nested(below.split(".")) if below else {}
        other = setting(APPENDED, write_inline([{name: parameters}]))
        message = f"can be the handler {name} or a setting of the handler {short}"
        raise Refusal([Problem(key, f"{message}; expected {one} or {other}", mark)])
    return [first, name, *(below.split(".") if below else ())]


def _nested(keys: list[str]) -> dict[str, object]:
    return {keys[0]: _nested(keys[1:]) if keys[1:] else 1}


def _entry(item: Node) -> tuple[str | None, Node | None]:
    """Returns the name and the parameters of an entry; None as the name if the entry is malformed."""
    if isinstance(item.value, str):
        return item.value, None
    if item.is_map and len(item.value) == 1:
        (name, parameters) = next(iter(item.value.items()))
        return name, parameters
    return None, None


def _place(handlers: Node, name: str, mark: Mark) -> int | None:
    """Returns the index of a handler in the list. A name on the command line may be copied from the file, so equal text
    matches; otherwise two names match if they lead to the same file."""
    entries = [_entry(item) for item in handlers.value]
    from_file = mark.line is not None and names_file(name)
    for place, (listed, _) in enumerate(entries):
        if listed == name and not from_file:
            return place
    for place, (listed, parameters) in enumerate(entries):
        written = handlers.value[place].mark if parameters is None else parameters.key_mark
        if listed is not None and names_file(listed) and _identity(listed, written) == _identity(name, mark):
            return place
    return None


def _identity(name: str, mark: Mark) -> str:
    """Returns the file that a name leads to; the name itself if it leads to none."""
    try:
        return located_reference(name, mark)
    except (ValueError, OSError):
        return name
