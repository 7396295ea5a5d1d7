"""How the processes of a world begin a run: the first goes ahead, and what one of them refuses, all do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from firebox.engine.configuration.identity import digest_of
from firebox.engine.records.own_code import code_of
from firebox.engine.world.world import World
from firebox.foundation.package import ROOMS, ROOT
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal, refuse, shown

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

T = TypeVar("T")


def first(world: World, action: Callable[[], T]) -> T:
    """Does something on the first process alone, and returns its result in all of them.

    Raises:
        Refusal: it was refused there; only there with its problems, so that they are shown once.
    """
    if world.size == 1:
        return action()
    if not world.leads:
        told: tuple[bool, Any] = world.tell(None)
        if not told[0]:
            raise Refusal([])
        return told[1]  # type: ignore[no-any-return]
    try:
        value = action()
    except BaseException:
        world.tell((False, None))
        raise
    world.tell((True, value))
    return value


def each(world: World, action: Callable[[], T]) -> T:
    """Does something on the first process, then on all others at once, and returns each process's own result.

    Raises:
        Refusal: any of them refused it; only in the first with all problems.
    """
    if world.size == 1:
        return action()
    own: list[T] = []
    first(world, lambda: own.append(action()))
    problems: list[Problem] = []
    if not world.leads:
        try:
            own.append(action())
        except Interrupted:
            raise
        except BaseException as error:
            problems = list(refusal_of(error).problems)
    _refuse_together(world, problems)
    return own[0]


def refuse_different(world: World, run: Run) -> None:
    """Refuses processes that would not train the same: with other versions, code, data, threads or weights.

    Raises:
        Refusal: in all of them; only in the first with what differs.
    """
    if world.size == 1:
        return
    own = _what_counts(run)
    common = world.tell(own if world.leads else None)
    _refuse_together(world, [_different(key, common.get(key), own[key]) for key in own if own[key] != common.get(key)])


def _refuse_together(world: World, problems: list[Problem]) -> None:
    failures = world.failures
    assert failures is not None
    found = world.collect(problems)
    merged = [
        Problem(problem.key, f"{problem.message} [{failures.members[rank]}]", problem.mark)
        for rank, theirs in enumerate(found)
        for problem in theirs
    ]
    if world.tell(bool(merged)):
        refuse(merged)
        raise Refusal([])


def _what_counts(run: Run) -> dict[str, Any]:
    """Returns what must be the same in all processes, by the words that a message has for it."""
    from firebox.engine.training.environment import circumstances

    configuration = run.configuration
    around = circumstances(configuration)
    counts = {f"the version of {name}": version for name, version in around["packages"].items()}
    code = code_of(configuration).digests
    return {
        **counts,
        "the version of Python": around["python"],
        "training.threads": around["threads"],
        "the device": around["device"].partition(":")[0],
        "the code of Firebox": _digest_of_package(),
        **{f"the code {name}": sha256 for name, sha256 in code.items()},
        "the configuration": digest_of(configuration),
        **{f"the data ({name})": found for name, found in run.identity.fingerprint.digests.items()},
        "the weights to begin with": _digest_of_weights(run.model.state_dict()),
    }


def _different(key: str, expected: Any, found: Any) -> Problem:
    return Problem("", f"{key}: got {shown(found, 20)}, expected that of the first process, {shown(expected, 20)}")


def _digest_of_package() -> str:
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest_of_weights(state: Mapping[str, Any]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
