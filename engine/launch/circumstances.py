"""The circumstances in which a run is resumed, compared with those before: threads, device and versions."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from firebox.engine.configuration import Configuration
from firebox.engine.configuration.identity import digest_of
from firebox.engine.launch.continuity import covered
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.problems import Problem

logger = logging.getLogger("firebox")

SHAPING_PACKAGES = ("torch", "torchvision", "kornia", "numpy", "pillow", "simplejpeg", "firebox")
"""Packages whose versions may affect the bits."""


def other_circumstances(
    directory: RunDirectory, given: Configuration, allowed: Sequence[str], processes: int = 1
) -> list[Problem]:
    """Compares threads, device and versions of a run with the present ones, and its configuration with that of its
    newest checkpoint; returns what differs that changes bits or meaning and is not allowed to differ.
    """
    from firebox.engine.records.checkpoints import valid_manifests
    from firebox.engine.training.environment import circumstances

    problems: list[Problem] = []
    manifests = valid_manifests(directory.checkpoints)
    if manifests and manifests[-1].configuration != digest_of(given):
        message = f"the checkpoint of iteration {manifests[-1].iteration} was written under another configuration than "
        message += f"{directory.configuration} now has; expected that one, or --allow-change configuration"
        problems += _unless(allowed, "configuration", message)
    before, now = _recorded_environment(directory), circumstances(given)
    device = (_kind(before.get("device")), _kind(now["device"]))
    if device[0] is not None and device[0] != device[1]:
        message = (
            f"the run was on {device[0]}, now on {device[1]}; expected the same, --set training.device={device[0]}"
        )
        problems += _unless(allowed, "training.device", f"{message}, or --allow-change training.device")
    elif before.get("device_name", now["device_name"]) != now["device_name"]:
        logger.warning("the run was on %s, now on %s: bits may differ", before["device_name"], now["device_name"])
    threads = (before.get("threads", now["threads"]), now["threads"])
    if threads[0] != threads[1]:
        message = f"the run had {threads[0]} threads, now {threads[1]}"
        if device[1] == "cpu":
            message += (
                f", which changes bits; expected the same, --set training.threads={threads[0]}, "
                "or --allow-change threads"
            )
            problems += _unless(allowed, "threads", message)
        else:
            logger.info("%s", message)
    problems += _versions(before.get("packages"), now["packages"], allowed)
    now["processes"] = processes
    for name in ("processes", "python", "platform", "commit"):
        if name in before and before[name] != now[name]:
            logger.info("%s: so far %s, now %s", name, before[name], now[name])
    return problems


def _versions(before: Any, now: dict[str, str | None], allowed: Sequence[str]) -> Iterator[Problem]:
    changed = [name for name in now if isinstance(before, dict) and name in before and before[name] != now[name]]
    for name in changed:
        message = f"{name} was {before[name]}, now {now[name]}"
        if name in SHAPING_PACKAGES:
            way_out = "expected the same version, or --allow-change versions"
            yield from _unless(allowed, "versions", f"{message}, which may change bits; {way_out}")
        else:
            logger.info("%s", message)


def _unless(allowed: Sequence[str], key: str, message: str) -> Iterator[Problem]:
    if covered(key, allowed):
        logger.warning("%s: %s", key, message.partition(";")[0])
    else:
        yield Problem(key, message)


def _kind(device: Any) -> str | None:
    return device.partition(":")[0] if isinstance(device, str) else None


def _recorded_environment(directory: RunDirectory) -> dict[str, Any]:
    try:
        content = json.loads(directory.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
