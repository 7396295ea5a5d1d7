"""Settings that are paths: their declaration, and the expansion of ``~`` and ``$NAME``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True, slots=True)
class PathSetting:
    """Marks the type of a setting that is a path."""


FilePath = Annotated[str, PathSetting(), Field(json_schema_extra={"format": "path"})]
"""The type of a parameter that names a file or a folder. A relative one is looked for beside the file that wrote it,
then in the working directory; the component is given an absolute path."""


def expanded(text: str) -> str:
    """Returns a path with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced by what they stand for.

    Raises:
        ValueError: a variable is not set, or this machine doesn't know the user.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            raise ValueError(f"the environment variable {name} is not set; set it: export {name}=/a/folder")
        return os.environ[name]

    path = os.path.expanduser(_VARIABLE.sub(value, text))  # noqa: PTH111 - pathlib's drops a "./" that was written
    if path.startswith("~"):
        raise ValueError(f"no home directory is known for {path.partition('/')[0]}; write the folder out, or ./{path}")
    return path


def is_portable(text: str) -> bool:
    """Whether a path means the same in every working directory: it is absolute once it is expanded."""
    return Path(expanded(text)).is_absolute()


def shortest(path: Path) -> Path:
    """Returns a path without ``..`` for display, if it is the same place."""
    normal = Path(os.path.normpath(path))
    return normal if normal.resolve() == path.resolve() else path


def cache_home() -> Path:
    """Returns Firebox's folder in the user's cache, which any of its content may be removed from."""
    return Path(os.environ.get("XDG_CACHE_HOME") or expanded("~/.cache")).absolute() / "firebox"
