"""The seal of an archive's card, which is a digest of the card, and the guarded reading of cards."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from firebox.foundation.problems import Problem, Refusal, shown

CARD = "card.json"
SEAL = "seal"
LARGEST_CARD = 1 << 22
"""Largest size of a card in bytes, far above that of a list of files and a confusion matrix of 1,000 classes."""
DEEPEST = 100


def sealed(card: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a card with its seal: the SHA-256 of everything else in it."""
    return {**card, SEAL: _digest(card)}


def read_card(file: Path, version: int, way_out: str) -> dict[str, Any]:
    """Reads a card and verifies its seal.

    Args:
        file: file of the card.
        version: expected version of its schema.
        way_out: end of the message about a card of another version.

    Raises:
        Refusal: the card is too large, nested too deeply, not a JSON object, of another version, or not as sealed.
    """
    try:
        card = parsed(file)
    except (OSError, ValueError) as error:
        raise Refusal([Problem("", f"{file}: can't be read: {error}")]) from None
    if card.get("schema_version") != version:
        message = f"schema_version is {shown(card.get('schema_version'))}, expected {version}; {way_out}"
        raise Refusal([Problem("", f"{file}: {message}")])
    if card.get(SEAL) != _digest(card):
        message = "not as it was sealed: its SHA-256 is not the one that it has; expected the card as it was archived"
        raise Refusal([Problem("", f"{file}: {message}")])
    return card


def parsed(file: Path) -> dict[str, Any]:
    """Parses a card, whatever its version.

    Raises:
        OSError: the card can't be read.
        ValueError: the card is too large, nested too deeply, or not a JSON object; has a duplicate key or NaN.
    """
    if not file.is_file():
        raise ValueError("not a file")
    with file.open("rb") as stream:
        content = stream.read(LARGEST_CARD + 1)
    if len(content) > LARGEST_CARD:
        raise ValueError(f"got more than {LARGEST_CARD:,} bytes, expected a card of at most that")
    try:
        text = content.decode()
        card = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"nested too deeply, expected at most {DEEPEST} levels") from None
    if not isinstance(card, dict):
        raise ValueError(f"got {shown(card)}, expected an object")
    if _deeper(card, DEEPEST):
        raise ValueError(f"nested too deeply, expected at most {DEEPEST} levels")
    return card


def _digest(card: Mapping[str, Any]) -> str:
    content = {key: value for key, value in card.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is given twice; expected once")
        found[key] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"got {text}, expected a finite number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(shown(text))


def _deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _deeper(child, levels - 1) for child in children)
