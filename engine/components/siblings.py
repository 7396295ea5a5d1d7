"""The imports in a user's file that lead to files beside it, found by parsing, never by importing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

DEPENDENCIES = frozenset(
    {
        "PIL",
        "aim",
        "argcomplete",
        "clearml",
        "crc32c",
        "datasets",
        "h5py",
        "huggingface_hub",
        "ignite",
        "jinja2",
        "kornia",
        "lazy_loader",
        "markupsafe",
        "matplotlib",
        "mlflow",
        "numpy",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "optuna",
        "pyarrow",
        "pydantic",
        "pydantic_core",
        "rich",
        "safetensors",
        "simplejpeg",
        "tensorboard",
        "tensorboardX",
        "timm",
        "torch",
        "torchinfo",
        "torchvision",
        "wandb",
        "yaml",
    }
)
"""The packages that Firebox imports. A user's file of such a name is never imported instead."""

RESERVED = DEPENDENCIES | sys.stdlib_module_names | {"firebox"}
"""Top-level names that mean the same in every file, whatever lies beside it."""


def folders_of(file: Path) -> tuple[Path, ...]:
    """Returns the folders in which a file's absolute imports are looked for: its own, and that of its package."""
    top = file.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return (file.parent,) if top == file.parent else (file.parent, top)


def located(module: str, level: int, importer: Path, folders: tuple[Path, ...]) -> Path | None:
    """Finds the file of a user's own module that a file imports.

    Args:
        module: dotted name in the import statement; may be empty if ``level`` is above 0.
        level: number of leading dots.
        importer: file that contains the statement.
        folders: folders in which absolute imports are looked for.

    Returns:
        The module's file, or the folder of a package without ``__init__.py``; None if it is not one of the user's own.
    """
    names = module.split(".") if module else []
    if level:
        return _module_in(importer.parents[level - 1], names) if level <= len(importer.parents) else None
    if names[0] in RESERVED:
        return None
    return next((place for folder in folders if (place := _module_in(folder, names))), None)


def _module_in(folder: Path, names: list[str]) -> Path | None:
    place = folder.joinpath(*names)
    candidates = [place / "__init__.py"]
    if names:
        candidates.append(place.parent / f"{names[-1]}.py")
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is not None:
        return file
    return place if place.is_dir() else None


def own_imports(file: Path, folders: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Yields the user's own modules that a file imports, anywhere in it.

    Args:
        file: file to parse.
        folders: folders in which absolute imports are looked for.

    Yields:
        The first name of an absolute import (empty for a relative one), and the file of a module to which it leads.
    """
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            imported = [(0, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [(node.level, node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for level, module, name in imported:
            first = "" if level else module.partition(".")[0]
            names = module.split(".") if module else []
            # Packages on the way are imported, too, and a name imported from a module may itself be a module.
            steps = [".".join(names[:end]) for end in range(1 if names else 0, len(names) + 1)]
            if name:
                steps.append(".".join([*names, name]))
            for step in steps:
                place = located(step, level, file, folders) if step or level else None
                if place is not None and place.is_file():
                    yield first, place


def reached(file: Path) -> Iterator[tuple[str, Path]]:
    """Yields a file and all own modules that it imports, each with the first name of the import that leads there.

    Raises:
        SyntaxError: a file is not valid Python.
    """
    file = file.resolve()
    folders = folders_of(file)
    above = [place / "__init__.py" for place in file.parents if folders[-1] in place.parents and len(folders) > 1]
    known = dict.fromkeys([("", file), *(("", package) for package in above)])
    yield from known
    waiting = [place for _, place in known]
    while waiting:
        for found in own_imports(waiting.pop(), folders):
            if found not in known:
                known[found] = None
                yield found
                waiting.append(found[1])
