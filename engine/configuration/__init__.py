"""The configuration of a run: reading, layering and validating it. Every value knows where it was written.

Imports components. Add a section or a rule of the language here; a component's own settings are the parameters of its
constructor.
"""

from __future__ import annotations

from firebox.engine.configuration.configuration import Configuration, Data, Named, plain
from firebox.engine.configuration.reading import read, read_recorded

__all__ = ["Configuration", "Data", "Named", "plain", "read", "read_recorded"]
