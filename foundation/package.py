"""The location of the package."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds all rooms, and ``configs/``: the checkout, or the installed package."""

ROOMS = ("foundation", "data", "models", "engine", "modules", "handlers", "trainers", "experiments", "benchmarks")
"""The folders of the package that hold code. Until version 0.1, these were top-level packages."""


def shipped(path: str) -> Path:
    """Returns a file of the package by its path below the root, relative if it is below the working directory."""
    file = ROOT / path
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def shipped_configuration(name: str) -> Path | None:
    """Returns a configuration of the package by its name below ``configs/``, such as ``base/image.yaml``.

    Args:
        name: name with its suffix; it may begin with ``configs/``, as in a checkout.

    Returns:
        The file; None if the package has no configuration of that name.
    """
    below = name.removeprefix("configs/")
    return shipped(f"configs/{below}") if below in shipped_configurations() else None


def shipped_configurations() -> list[str]:
    """Returns the names of all configurations of the package."""
    folder = ROOT / "configs"
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/*.yaml"))


def version(package: str) -> str | None:
    """Returns the installed version of a package; None if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
