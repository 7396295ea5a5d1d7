"""What is raised where data can't be had."""

from __future__ import annotations


class DataError(ValueError):
    """Data that can't be had: what is missing, where to put it, what needs none."""
