"""The configuration of a run: read, layered, validated; every value knows where it came from."""

from __future__ import annotations

from firebox.engine.configuration.configuration import Configuration, Data, Named, plain, read, read_recorded

__all__ = ["Configuration", "Data", "Named", "plain", "read", "read_recorded"]
