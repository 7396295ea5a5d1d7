"""What a run was trained on, as its directory and its checkpoints record it."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from firebox.data.fingerprints.changes import Changes
from firebox.data.fingerprints.fingerprint import Files, Fingerprint, agree
from firebox.engine.records.checkpoints import Manifest, valid_manifests
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.files import write_whole

SHOWN_DIGITS = 12
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class KnownData:
    """What a run was trained on for a time.

    Args:
        digests: SHA-256 of what is known, as ``Fingerprint.digests`` has them.
        fingerprint: all that was recorded; None if it is lost, and only the digests are known.
        since: iteration from which it was trained on.
    """

    digests: Mapping[str, str | None]
    fingerprint: Fingerprint | None = None
    since: int = 0

    def changes_to(self, now: Fingerprint, since: str = "the run began") -> str | None:
        """Returns in words how the data has changed; None if it has not, as far as both are known."""
        if agree(self.digests, now.digests):
            return None
        told = [] if self.fingerprint is None else Changes(self.fingerprint, now).told()
        what = "; ".join(told) or "what was changed can't be named, because the run's record of it is lost"
        return f"the data has changed since {since}: {what}; expected the data of the run ({self._short})"

    def now_evaluated(self, now: Fingerprint) -> str:
        """Returns in words how many samples that were trained on are now evaluated on."""
        moved = None if self.fingerprint is None else Changes(self.fingerprint, now).trained_on()
        if moved is None:
            return "which samples that were trained on are now evaluated on is not known"
        counts = " and ".join(f"{count} in the {split} split" for split, count in moved.items())
        return f"of the samples that were trained on, {counts or 'none'} are now evaluated on"

    @property
    def _short(self) -> str:
        return str(self.digests.get("names"))[:SHOWN_DIGITS]


def known_data(directory: RunDirectory) -> list[KnownData]:
    """Returns what a run was trained on, the latest first; nothing if that was never recorded.

    The digest of the newest checkpoint counts if the directory's own record is lost, or is not the run's.
    """
    record = _recorded(directory)
    found = [] if record is None else _known(record, directory)
    written = [manifest.data for manifest in valid_manifests(directory.checkpoints) if manifest.data is not None]
    if written and not any(agree(known.digests, written[-1]) for known in found):
        return [KnownData(written[-1])]
    return found


def known_at(directory: RunDirectory, manifest: Manifest) -> KnownData | None:
    """Returns what the run of a checkpoint was trained on when it was written; None if that was never recorded."""
    digests = manifest.data
    if digests is None:
        return None
    return next((known for known in known_data(directory) if agree(known.digests, digests)), KnownData(digests))


def write_data(directory: RunDirectory, now: Fingerprint, iteration: int) -> None:
    """Records what a run is trained on from an iteration on; what it was trained on before is kept under ``earlier``.

    A record of the same data that knows as much is left as it is.
    """
    record, known = _recorded(directory), known_data(directory)
    same = bool(known) and agree(known[0].digests, now.digests)
    if record is not None and same and _knows_as_much(known[0].fingerprint, now):
        return
    earlier: list[Any] = []
    if record is not None:
        earlier = record.pop("earlier")
        earlier = earlier if same else [record, *earlier]
    if now.files is not None:
        text = json.dumps({name: getattr(now.files, name) for name in Files.__slots__})
        write_whole(directory.data_files, gzip.compress(text.encode(), compresslevel=3, mtime=0))
    content = {"from_iteration": known[0].since if same else iteration, **now.plain(), "earlier": earlier}
    write_whole(directory.data, json.dumps({**content, "sha256": _seal(content)}, indent=1) + "\n")


def _knows_as_much(recorded: Fingerprint | None, now: Fingerprint) -> bool:
    if recorded is None or (recorded.files is None) != (now.files is None):
        return False
    return recorded.digests["content"] is not None or now.digests["content"] is None


def _known(record: Mapping[str, Any], directory: RunDirectory) -> list[KnownData]:
    files: Files | None
    try:
        files = Files(**json.loads(gzip.decompress(directory.data_files.read_bytes())))
    except _UNREADABLE:
        files = None
    for known in (files, None):
        with suppress(*_UNREADABLE):  # of other files than a run wrote, which are not those of the record
            return [_described(entry, known) for entry in [record, *record["earlier"]]]
    return []


def _described(entry: Mapping[str, Any], files: Files | None) -> KnownData:
    found = Fingerprint.from_plain(entry, files)
    return KnownData(found.digests, found, int(entry["from_iteration"]))


def _recorded(directory: RunDirectory) -> dict[str, Any] | None:
    """Returns the content of ``data.json``; None if it can't be read, or is not as a run wrote it."""
    try:
        content: dict[str, Any] = json.loads(directory.data.read_bytes())
        seal = content.pop("sha256")
        return content if seal == _seal(content) else None
    except _UNREADABLE:
        return None


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
