"""Libraries that only some data sets need."""

from __future__ import annotations

import importlib
from typing import Any

from firebox.data.declarations.data_error import DataError
from firebox.foundation.problems import in_one_line


def required(library: str, extra: str, what: str) -> Any:
    """Imports a library that is not installed with Firebox.

    Args:
        library: name of the package.
        extra: name of the extra of Firebox that installs it.
        what: what needs it, such as "an HDF5 file".

    Raises:
        DataError: it is not installed, or can't be imported.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == library
        why = "is not installed" if absent else f"can't be imported: {in_one_line(error)}"
        raise DataError(f"{what} needs {library}, which {why}; pip install 'firebox[{extra}]'") from None
