"""Whether the data is what a run was trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from firebox.engine.configuration import Configuration
from firebox.engine.launch.continuity import covered
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.problems import Problem

if TYPE_CHECKING:
    from firebox.engine.records.data_record import KnownData
    from firebox.engine.training.limits.stopping import StopRequest
    from firebox.engine.training.reading.data_identity import DataIdentity

logger = logging.getLogger("firebox")


def present_data(configuration: Configuration, stop: StopRequest) -> DataIdentity | None:
    """Returns the data that a configuration names, and its fingerprint; None if it can't be had, which guards report.

    Raises:
        Refusal: a file or sample can't be read.
        Interrupted: a stop was requested.
    """
    from firebox.engine.training.construction import blamed
    from firebox.engine.training.limits.watch import Overdue
    from firebox.engine.training.reading.data_identity import DataIdentity
    from firebox.engine.training.reading.streams import construct_data, reading

    named, kind = configuration.data.named, configuration.data.kind
    try:
        data = construct_data(configuration, stop)
        if data.missing() is not None:
            return None
        _ = data.specification, data.split_lengths, data.listing
    except Overdue:
        raise
    except Exception:
        logger.debug("%s: can't be compared with what the run was trained on", kind, exc_info=True)
        return None
    identity = DataIdentity(data, reading(configuration, stop), verify=configuration.data.loading.verify)
    with blamed(named, kind):
        _ = identity.fingerprint
    return identity


def other_data(
    directory: RunDirectory, configuration: Configuration, identity: DataIdentity | None, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yields how the data differs from what a run was trained on; says so where that is allowed.

    Args:
        directory: directory of the run.
        configuration: configuration to continue with.
        identity: the data at present; None if it can't be had.
        allowed: keys that may change.
    """
    from firebox.engine.records.data_record import known_data

    if identity is None:
        return
    known = known_data(directory)
    if not known:
        logger.info("what the run was trained on so far is not recorded; it is recorded from now on")
        return
    if known[0].fingerprint is None:
        logger.warning("%s is lost or not as the run wrote it; the newest checkpoint's digest counts", directory.data)
    yield from _changes(known[0], configuration, identity, allowed)


def other_prepared(
    directory: RunDirectory, configuration: Configuration, identity: DataIdentity, allowed: Sequence[str]
) -> Iterator[Problem]:
    """Yields what is otherwise than when a run began of what is known once the data is prepared; see ``other_data``.

    These are the files that are skipped, and the mean and deviation of the training images.
    """
    from firebox.engine.records.data_record import known_data

    now = identity.fingerprint.digests
    for known in known_data(directory)[:1]:
        if any(known.digests.get(key) not in (None, now[key]) for key in ("skipped", "moments")):
            yield from _changes(known, configuration, identity, allowed)


def _changes(
    known: KnownData, configuration: Configuration, identity: DataIdentity, allowed: Sequence[str]
) -> Iterator[Problem]:
    changes = known.changes_to(identity.fingerprint)
    if changes is None:
        return
    if covered("data", allowed):
        logger.warning("%s; %s", changes.rpartition("; ")[0], known.now_evaluated(identity.fingerprint))
        return
    kind = configuration.data.kind
    way_out = "a new run without --resume, or --allow-change data"
    yield Problem(kind, f"{changes}, {way_out}", configuration.mark(kind, "name"))
