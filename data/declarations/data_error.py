"""The error raised for data that is unavailable."""

from __future__ import annotations


class DataError(ValueError):
    """Data is unavailable; the message says what is missing, where to put it, and which data set needs no files."""
