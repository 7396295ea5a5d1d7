"""Turns pydantic's errors into problems with a place, the value given and the value expected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from firebox.engine.configuration.nodes import Node
from firebox.foundation.problems import Problem, shown, suggestion

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of at most 64 bits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a map of keys",
    "model_type": "a map of keys",
    "none_required": "null",
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}


def validate(
    model: type[BaseModel], node: Node, key: str, problems: list[Problem], *, ignore: frozenset[str] = frozenset()
) -> BaseModel | None:
    """Validates a map of the configuration.

    Args:
        model: pydantic model of the map.
        node: node of the map.
        key: dotted key of the map, for messages.
        problems: list to which problems are added.
        ignore: keys of the map that are read elsewhere.

    Returns:
        The validated parameters; None if there are problems.
    """
    plain = {name: child.plain() for name, child in node.value.items() if name not in ignore}
    try:
        # Validated as JSON, where strict pydantic accepts a list as a tuple; YAML's own types are those of JSON.
        return model.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        details = error.errors(include_url=False)
    located: dict[tuple[str | int, ...], list[Any]] = {}
    for detail in details:
        path = _path_in(plain, detail["loc"])
        located.setdefault(path, []).append(detail)
    for path, found in located.items():
        dotted = ".".join([key, *map(str, path)]) if key else ".".join(map(str, path))
        place = node.find(*path)
        unknown = next((d for d in found if d["type"] == "extra_forbidden"), None)
        if unknown is not None:
            known = {*_known_keys(model, path), *ignore}
            problems.append(Problem(dotted, f"unknown key; {suggestion(str(path[-1]), known)}", place.key_mark))
        elif found[0]["type"] == "missing":
            place = node.find(*path[:-1])
            problems.append(Problem(dotted, "missing; expected a value", place.key_mark))
        else:
            # Every member of a union reports an error; the one about null is never what the user meant.
            details = [d for d in found if d["type"] != "none_required"] or found
            title = _field_title(model, path)
            expected = title or " or ".join(dict.fromkeys(_expected(d, model, path) for d in details))
            given = shown(_value_at(plain, path))
            problems.append(Problem(dotted, f"got {given}, expected {expected}", place.mark))
    return None


def _path_in(plain: Any, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Returns the part of pydantic's location that is a path in the data; the rest names members of unions."""
    path: list[str | int] = []
    for step in location:
        if isinstance(plain, dict) and isinstance(step, str) and (step in plain or not path):
            plain = plain.get(step)
        elif isinstance(plain, list) and isinstance(step, int) and step < len(plain):
            plain = plain[step]
        else:
            break
        path.append(step)
    return tuple(path)


def _value_at(plain: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        plain = plain[step]
    return plain


def _known_keys(model: type[BaseModel], path: tuple[str | int, ...]) -> set[str]:
    return set(model.model_fields) if len(path) == 1 else set()


def _field_title(model: type[BaseModel], path: tuple[str | int, ...]) -> str | None:
    """Returns the title of a field's type, which says in words what a pattern can't; None if it has none."""
    field = model.model_fields.get(str(path[0])) if len(path) == 1 else None
    if field is None:
        return None
    if field.title:
        return field.title
    for part in get_args(field.annotation):
        for metadata in getattr(part, "__metadata__", ()):
            title = getattr(metadata, "title", None)
            if title:
                return f"{title}, or null" if type(None) in get_args(field.annotation) else str(title)
    return None


def _expected(detail: Any, model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        bound = context[_BOUNDS[kind]]
        if bound == 0 and kind.startswith("greater"):
            whole = isinstance(detail["input"], int) and not isinstance(detail["input"], bool)
            sign = "positive" if kind == "greater_than" else "non-negative"
            return f"a {sign} {'integer' if whole and _is_integer(model, path) else 'number'}"
        words = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}[_BOUNDS[kind]]
        return f"a number {words} {bound}"
    if kind == "literal_error":
        choices = context["expected"].replace("'", "")
        return one_of(detail["input"], choices.replace(" or ", ", ").split(", "))
    message = str(detail["msg"])
    return _EXPECTED.get(kind, message[0].lower() + message[1:])


def one_of(given: Any, choices: Sequence[str]) -> str:
    """Returns the end of a message that lists the accepted values, with the one that was probably meant."""
    *others, last = choices
    listed = f"{', '.join(others)} or {last}" if others else last
    close = suggestion(str(given), choices)
    hint = f" ({close.split('?')[0]}?)" if close.startswith("did you mean") else ""
    return f"one of {listed}{hint}"


def _is_integer(model: type[BaseModel], path: tuple[str | int, ...]) -> bool:
    field = model.model_fields.get(str(path[0])) if path else None
    return field is not None and "int" in str(field.annotation)
