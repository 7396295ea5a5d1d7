"""The code that an archive may run: Firebox's or, with consent, the code in the archive; never files around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firebox.engine.components.own_files import own_files
from firebox.engine.components.targets import Target
from firebox.engine.configuration.components import Renaming
from firebox.engine.records.kept_code import part_key, renaming, unpacked
from firebox.engine.records.own_code import CODE, RECORD, DamagedCode, OwnCode, read_code
from firebox.foundation.copies import copied
from firebox.foundation.problems import Mark, Problem, Refusal, shown


def code_files(card: Mapping[str, Any]) -> dict[str, str]:
    """Returns the SHA-256 of each file of a user's own code in an archive, by the file's name."""
    files = {name: entry["sha256"] for name, entry in card["files"].items()}
    return {name: sha for name, sha in files.items() if name.startswith(f"{CODE}/") and name != f"{CODE}/{RECORD}"}


def untrusted(path: Path, card: Mapping[str, Any]) -> Renaming:
    """Returns a renaming that refuses every component outside Firebox's catalogues, before it is looked for."""

    def renamed(key: str, name: str, mark: Mark | None) -> tuple[str, Mark | None]:
        if ":" not in name:
            return name, mark
        files = ", ".join(f"{path / file} (SHA-256 {sha256})" for file, sha256 in code_files(card).items())
        held = f"; the archive's code: {files}" if files else ""
        message = f"{path}: its {key} is {shown(name)}, which is not Firebox's own and runs by consent alone{held}"
        raise _refusal(f"{message}; expected --trust-code, or trust_code=True, if you trust it")

    return renamed


def trusted(path: Path, card: Mapping[str, Any]) -> Renaming:
    """Returns a renaming that takes components from the archive's own code; others must be installed."""
    try:
        known = read_code(path / CODE)
    except DamagedCode as error:
        raise _refusal(str(error)) from None
    code = OwnCode() if known is None else known[0]
    if any(card["files"].get(f"{CODE}/{name}", {}).get("sha256") != sha for name, sha in code.digests.items()):
        raise _refusal(f"{path / CODE}: its files are not the card's")
    folder = unpacked(code)
    copied(path, folder)
    own = renaming(code, folder)

    def renamed(key: str, name: str, mark: Mark | None) -> tuple[str, Mark | None]:
        found = own(key, name, mark)
        if ":" in name and part_key(key) not in code.parts:
            target = Target.parse(name)
            if target.is_file or own_files(target):
                raise _refusal(f"{path}: its {key} is {shown(name)}, which the archive does not hold")
        return found

    return renamed


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
