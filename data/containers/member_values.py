"""Plain values that members of tar files hold: numbers, names, or parts of a JSON document."""

from __future__ import annotations

import json
from typing import Any

from firebox.data.declarations.data_error import DataError
from firebox.foundation.problems import in_one_line, listed


def value_in(content: bytes, name: str, key: str, *, is_json: bool) -> Any:
    """Returns the value that a member holds.

    Args:
        content: the member's content.
        name: what messages call the member.
        key: key of the value in a JSON document; empty if it is all of the member.
        is_json: whether the member is JSON; if not, it is a text.

    Raises:
        DataError: it is no text or no JSON, or has no such key.
    """
    try:
        value = json.loads(content) if is_json else content.decode().strip()
    except ValueError as error:
        raise DataError(f"{name}: is no {'JSON' if is_json else 'text'}: {in_one_line(error)}") from None
    if not key:
        return value
    if not isinstance(value, dict) or key not in value:
        has = listed(list(map(str, value))) if isinstance(value, dict) else "no keys"
        raise DataError(f"{name}: has {has}, expected the key {key}")
    return value[key]
