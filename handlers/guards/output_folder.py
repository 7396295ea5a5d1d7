"""Guards for the folder that will hold the run's directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.engine.records.claiming import version_exists
from firebox.foundation.files import nearest_existing
from firebox.foundation.problems import Problem, shown

LONGEST_NAME = 255
LONGEST_BELOW = 200
"""Number of characters reserved for paths below a run's directory."""


class OutputFolder(Guard):
    """Refuses a folder that can't be written, and a version that exists."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        if preflight.assembled:
            return
        if preflight.resumed is not None:
            why = _unwritable(preflight.resumed.path)
            if why is not None:
                yield preflight.problem(f"--resume: {why}; expected a run that can be written to", "output", "root")
            return
        root, version = configuration.output.root, configuration.output.version
        why = _unwritable(configuration.directory)
        if why is not None:
            yield preflight.problem(
                f"got {shown(root)}: {why}; expected a folder that can be written to", "output", "root"
            )
        elif version is not None and len(version) > LONGEST_NAME:
            message = f"got {shown(version)}, {len(version)} characters; expected at most {LONGEST_NAME}"
            yield preflight.problem(message, "output", "version")
        elif version is not None and os.path.lexists(configuration.directory / version):
            yield version_exists(configuration)


def _unwritable(path: Path) -> str | None:
    """Returns why nothing can be written below a path; None if it can be. The check creates nothing."""
    if "\0" in str(path):
        return "embedded null byte"
    try:
        place = nearest_existing(path)
        longest = max(len(part.encode()) for part in path.parts)
        if (
            longest > LONGEST_NAME
            or len(os.fsencode(path.absolute())) > os.pathconf("/", "PC_PATH_MAX") - LONGEST_BELOW
        ):
            return "the path is too long"
        if not place.is_dir():
            return f"{place} is a file"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"no permission to write into {place}"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None
