"""Where the package is: the one place that knows."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds all rooms, and ``configs/``: the checkout, or the installed package."""

ROOMS = ("foundation", "data", "models", "engine", "modules", "handlers", "trainers", "experiments", "benchmarks")
"""The folders of the package that hold code. Until version 0.1 they were imported by these names alone."""


def shipped(path: str) -> Path:
    """Returns a file of the package by its path below the root; relative where the working directory allows it."""
    file = ROOT / path
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
