"""The parts of a docstring: its summary and its arguments."""

from __future__ import annotations

import inspect
import re


def summary(documentation: str) -> str:
    """Returns the first paragraph of a docstring on one line."""
    return documentation.strip().split("\n\n")[0].replace("\n", " ").strip()


def described(documentation: str) -> dict[str, str]:
    """Returns the description of each argument in the ``Args:`` section, by the argument's name."""
    match = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(documentation), re.MULTILINE | re.DOTALL)
    if match is None:
        return {}
    texts: dict[str, str] = {}
    for name, text in re.findall(r"^ {4}(\w+)(?: \(.*?\))?: (.*?)(?=^ {4}\w|\Z)", match[1], re.MULTILINE | re.DOTALL):
        texts[name] = " ".join(text.split())
    return texts
