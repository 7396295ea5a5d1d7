"""How the processes of a world begin and end a run: the first goes ahead, and what one of them refuses, all do."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from firebox.engine.configuration.identity import digest_of
from firebox.engine.launch import messages
from firebox.engine.launch.admission import Admitted, Request, admit, configure
from firebox.engine.records.own_code import code_of
from firebox.engine.records.storable import restored
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import STOP_SECONDS
from firebox.engine.world.launched import launched
from firebox.engine.world.world import ALONE, World
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED
from firebox.foundation.package import ROOMS, ROOT
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal, refuse, shown

if TYPE_CHECKING:
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

T = TypeVar("T")


@contextmanager
def joined_world(request: Request, stop: StopRequest) -> Iterator[World]:
    """Joins the processes that a launcher has started with this one; all of them but the first are silent.

    Raises:
        Refusal: they can't be reached, or another launcher has started several that do not know of each other.
    """
    started = launched()
    if started is None:
        yield ALONE
        return
    from firebox.engine.world.joining import joined

    stop.follow_launcher()
    with joined(started, lambda: stop.requested) as world:
        if world.leads:
            console.start(quiet=request.quiet)
        else:
            console.silence()
        yield world


def admit_together(request: Request, stop: StopRequest, world: World) -> Admitted | int:
    """Admits a request on the first process; returns what is to be trained, or the exit code if nothing is.

    Raises:
        Refusal: it can't work.
    """
    admitted: Admitted | None = None

    def by_first() -> tuple[int | None, str | None]:
        nonlocal admitted
        if world.job.stopped is not None:
            messages.stopped_before()
            return world.job.stopped, None
        admitted = admit(resuming(request, world), stop, world)
        if admitted is None or request.check:
            return COMPLETED, None
        return None, None if admitted.resumed is None else str(admitted.resumed.path.absolute())

    code, resumed = first(world, by_first)
    if code is not None:
        return code
    return each(world, lambda: admitted or Admitted(*configure(replace(request, resume=resumed))))


def resuming(request: Request, world: World) -> Request:
    """Returns a request that resumes what an earlier attempt of the launcher has begun, if there was one."""
    run = world.job.run
    if run is None:
        return request
    logger.warning("the launcher starts again: resuming %s", run)
    return replace(request, resume=run)


def share(run: Run) -> None:
    """Gives all processes the state of the first one, and has them agree from now on where to stop."""
    world = run.world
    if world.size == 1:
        return
    world.limit(run.configuration.data.loading.timeout + STOP_SECONDS)
    if run.spreads:
        _load_own_parts(run)
    else:
        state = world.broadcast(run.snapshot() if world.leads and run.resumed_at else None)
        if state is not None and not world.leads:
            run.load_state_dict(restored(state))
    run.stop.share()


def _load_own_parts(run: Run) -> None:
    """Has each process take its part of the weights from the checkpoint that the first one has loaded."""
    from firebox.engine.records import checkpoints

    iteration = run.world.broadcast(run.resumed_at)
    if iteration and not run.world.leads:
        state = checkpoints.load(checkpoints.path_of(run.directory.checkpoints, iteration))
        state["epoch_length"] = run.epoch_length  # the first process has compared it
        run.load_state_dict(state)


def speaks_at_the_end(run: Run, code: int, reason: str) -> bool:
    """Whether this process records how a run ended: the first one, or another in its place if that has failed."""
    world = run.world
    if world.leads:
        if code not in (COMPLETED, FAILED):
            with suppress(Exception):  # the launcher, and its store, may have ended
                world.job.stopped = code
        return True
    if code != FAILED or world.failures is None or not world.failures.speaker:
        return False
    console.start(quiet=False)
    logger.error("%s", reason)
    with suppress(Refusal):  # the first process is stuck, and still has it
        run.directory.lock()
    return True


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
    from firebox.engine.training.weights.trained_state import digest_of_weights

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
        "the weights to begin with": run.beginning or digest_of_weights(run.model.state_dict()),
    }


def _different(key: str, expected: Any, found: Any) -> Problem:
    return Problem("", f"{key}: got {shown(found, 20)}, expected that of the first process, {shown(expected, 20)}")


def _digest_of_package() -> str:
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
