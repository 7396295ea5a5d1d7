"""Worker processes that read ahead: they ignore what stops the run, and no wait for them is endless.

However multiprocessing starts them. A spawned one takes seconds, so that a test of all methods looks at many things.
"""

import collections
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.sources.source import DatasetImages, ResidentImages
from firebox.data.workers import patience, read_ahead
from firebox.data.workers import worker as in_worker
from firebox.foundation import own_modules
from firebox.foundation.exit_codes import STOPPED_BY
from firebox.foundation.problems import Interrupted, TrainingFailure
from tests.data.data_sets import Backtracking, Failing, Holding, Immovable, Own, of, stream

FORK = multiprocessing.get_context("fork")


def workers_of(batches):
    return batches._read_ahead._workers


def progress_of(batches):
    return batches._read_ahead._progress


def awaited(condition, seconds=60.0):
    """Whether something comes true within some seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pid, seconds=10.0):
    """Whether a process ends within some seconds."""

    def ended():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return awaited(ended, seconds)


def read(batches):
    return int(next(batches).images[0, 0, 0, 0])


@pytest.mark.usefixtures("method")
def test_workers_go_on_reading_whatever_asks_the_run_to_stop_also_while_they_start():
    batches = stream()
    batches._read_ahead = batches._reading_ahead(0)
    while not progress_of(batches).started() and all(worker.is_alive() for worker in workers_of(batches)):
        for worker in workers_of(batches):
            for number in STOPPED_BY:
                os.kill(worker.pid, number)
        time.sleep(0.2)
    assert [read(batches) for _ in range(8)] == [0, 2, 4, 6, 0, 2, 4, 6]
    for worker in workers_of(batches):
        for number in STOPPED_BY:
            os.kill(worker.pid, number)
    assert [read(batches) for _ in range(8)] == [0, 2, 4, 6, 0, 2, 4, 6]
    workers = workers_of(batches)
    batches.close()
    assert not any(worker.is_alive() for worker in workers)


def test_a_worker_that_is_killed_while_it_looks_at_the_loaders_event_is_not_awaited():
    batches = stream()
    read(batches)
    event = batches._read_ahead._iterator[0]._workers_done_event._event
    event._cond.acquire()  # as a worker has it when it is killed there
    workers = workers_of(batches)
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(TrainingFailure, match="was ended by SIGKILL"):
        collections.deque(itertools.islice(batches, 100))
    batches.close()
    assert not any(worker.is_alive() for worker in workers)


def test_workers_that_ignore_nothing_would_end(monkeypatch):
    """The control."""
    monkeypatch.setattr(read_ahead, "STOPPED_BY", {})
    monkeypatch.setattr(in_worker, "STOPPED_BY", {})
    batches = stream()
    next(batches)
    for process in workers_of(batches):
        subprocess.run(["kill", "-TERM", str(process.pid)], check=True)
    with pytest.raises(TrainingFailure, match=r"was ended by SIGTERM"):
        collections.deque(itertools.islice(batches, 20))
    batches.close()


def test_processes_that_the_stream_did_not_start_keep_their_signals():
    batches = stream()
    next(batches)
    other = FORK.Process(target=time.sleep, args=(1000,))
    other.start()
    other.terminate()
    other.join(10)
    assert other.exitcode == -signal.SIGTERM
    batches.close()


@pytest.mark.usefixtures("method")
def test_a_worker_that_is_killed_is_named_where_its_batch_is_awaited_and_nowhere_else():
    batches = stream()
    next(batches)
    process = workers_of(batches)[0]
    assert awaited(lambda: "handing over" in batches._read_ahead._doing(process))
    process.kill()
    process.join()
    time.sleep(0.1)  # torch's own handler of SIGCHLD would have raised here
    named = rf"process {process.pid}\) was ended by SIGKILL while handing over the batch .* sample \d .* lower workers"
    with pytest.raises(TrainingFailure, match=named):
        collections.deque(itertools.islice(batches, 20))
    batches.close()


@pytest.mark.usefixtures("method")
def test_a_worker_that_is_killed_while_it_starts_is_named_too():
    batches = stream(workers=1)
    batches._read_ahead = batches._reading_ahead(0)
    (process,) = workers_of(batches)
    assert batches._read_ahead._described().startswith(f"1 worker (process {process.pid}: ")
    process.kill()
    with pytest.raises(TrainingFailure, match=rf"process {process.pid}\) was ended by SIGKILL while (start|await)ing"):
        next(batches)
    batches.close()


def test_a_worker_that_is_killed_while_it_hands_over_a_batch_is_named_too(method):
    """Whether the memory's descriptor, its socket or the process goes first differs from one kill to the next."""
    for turn in range(1 if method == "spawn" else 10):
        batches = stream(side=64 if turn % 2 else 2)  # in shared memory, or by value
        next(batches)
        for worker in workers_of(batches):
            worker.kill()
        with pytest.raises(TrainingFailure, match="was ended by SIGKILL"):
            collections.deque(itertools.islice(batches, 20))
        batches.close()


@pytest.mark.usefixtures("method")
def test_a_sample_that_blocks_is_named_at_the_time_limit_at_a_kill_and_not_awaited_after_a_stop():
    stop = []
    batches = stream(at=2, timeout=1.0, stopping=lambda: bool(stop))
    next(batches)
    began = time.monotonic()
    with pytest.raises(
        TrainingFailure, match=r"no batch within 1 s from \d workers? \(.*\): .* longer timeout"
    ) as caught:
        next(batches)
    assert time.monotonic() - began < 10
    pid = int(re.search(r"process (\d+): reading sample 2\b", str(caught.value))[1])
    stop.append(True)
    with pytest.raises(Interrupted):
        next(batches)
    stop.clear()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TrainingFailure, match=rf"process {pid}\) was ended by SIGKILL while reading sample 2:"):
        next(batches)
    batches.close()


@pytest.mark.usefixtures("method")
def test_workers_that_hang_are_ended_with_the_stream():
    batches = stream(at=2)
    next(batches)
    workers = workers_of(batches)
    began = time.monotonic()
    batches.close()
    assert time.monotonic() - began < read_ahead.GRACE_SECONDS + 5
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("asked", ["time limit", "stop"])
def test_a_worker_that_blocks_all_its_threads_is_not_awaited_where_it_hands_over(monkeypatch, start_by, asked):
    start_by("forkserver")
    monkeypatch.setattr(patience, "GRACE_SECONDS", 0.5)
    stop = []
    limits = {"time limit": 1.0, "stop": 1000.0}
    batches = stream(at=2, side=64, workers=1, kind=Backtracking, timeout=limits[asked], stopping=lambda: bool(stop))
    batches.begin()
    # The first batch is announced while the second one begins, and fetched when it can't be handed over any more.
    time.sleep(1.5)
    if asked == "stop":
        threading.Timer(1.0, stop.append, (True,)).start()
    with pytest.raises(Interrupted if asked == "stop" else TrainingFailure):
        next(batches)
    batches.close()


def test_whatever_is_raised_in_a_worker_is_one_line_that_names_the_sample_and_the_place(method, capfd):
    batches = of(DatasetImages(Failing()), batch_size=1)
    assert read(batches) == 0
    told = []
    for _ in range(4):
        with pytest.raises(DataError) as caught:
            next(batches)
        told.append(str(caught.value))
    errors = ("KeyError: 'no such key'", "SystemExit: 5", "StopIteration", "KeyboardInterrupt")
    for index, (line, error) in enumerate(zip(told, errors, strict=True), 1):
        assert line.startswith(f"the data set Failing: sample {index} (/data/{index}.png): {error} (")
        assert re.search(r"data_sets\.py:\d+\)$", line)
    assert next(batches).images.shape == (1, 1, 3, 3)
    with pytest.raises(TrainingFailure, match=r"was ended by exit code 3 while reading sample 6 \(/data/6\.png\)$"):
        next(batches)
    batches.close()
    captured = capfd.readouterr()
    if method != "forkserver":  # whose server writes to where the first test that started it did
        assert "read 6\n" in captured.out
    assert "Traceback" not in captured.err


def test_a_source_of_ones_own_that_fails_in_a_worker_is_named_by_its_batch(start_by):
    start_by("forkserver")
    batches = of(Own())
    next(batches)
    with pytest.raises(
        DataError, match=r"samples \[2, 3\] of its split: OSError: no such file \(.*data_sets\.py:\d+\)"
    ):
        next(batches)
    with pytest.raises(TrainingFailure, match=r"exit code 0 while reading the batch that begins with sample 4 of its"):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (lambda: lambda image: image, "<lambda>"),
        (lambda: Path(os.devnull).open(), "_io.TextIOWrapper"),  # noqa: SIM115 - that is the mistake
        (lambda: (number for number in ()), "generator"),
        (threading.Lock, "lock"),
    ],
)
def test_what_cant_be_handed_to_a_worker_is_named_with_the_way_out_before_one_starts(not_forked, held, why):
    thing = held()
    batches = of(DatasetImages(Holding(thing)))
    with pytest.raises(DataError) as caught:
        next(batches)
    line = str(caught.value)
    assert f"started by {not_forked}: Holding.settings['transforms'][1]: " in line
    assert why in line
    assert "workers: 0" in line
    assert "\n" not in line
    with pytest.raises(DataError):
        batches.require_handover()
    getattr(thing, "close", lambda: None)()


@pytest.mark.usefixtures("not_forked")
def test_a_script_that_is_no_file_is_refused_before_a_worker_looks_for_it(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>", raising=False)
    with pytest.raises(DataError, match=r"import the script again, but .*<stdin> is no file; expected a script"):
        stream().begin()


def test_a_fork_needs_no_handover(start_by):
    start_by("fork")
    batches = of(DatasetImages(Holding(lambda image: image)))
    batches.require_handover()
    assert read(batches) == 0
    batches.close()


@pytest.mark.usefixtures("not_forked")
def test_what_multiprocessing_hands_over_itself_is_let_through_and_shared():
    lock = multiprocessing.Lock()
    counted = multiprocessing.Value("i", 3)
    of(DatasetImages(Holding([lock, counted, torch.zeros(2)]))).require_handover()


@pytest.mark.usefixtures("not_forked")
def test_what_a_worker_cant_unpickle_is_one_line(capfd):
    batches = of(DatasetImages(Immovable()))
    for attempt in (batches.begin, lambda: next(batches)):
        with pytest.raises(DataError, match=r"can't take over the data: no room here \(.*data_sets\.py:\d+\)"):
            attempt()
    batches.close()
    assert capfd.readouterr().err == ""


def test_more_tensors_than_can_be_handed_over_are_refused_in_one_line(start_by):
    start_by("forkserver")
    batches = of(DatasetImages(Holding([torch.zeros(1) for _ in range(300)])))
    with pytest.raises(TrainingFailure, match="can't start worker processes: too many fds"):
        next(batches)


@pytest.mark.parametrize("more", [1, 3])
def test_workers_that_cant_be_started_are_one_line(start_by, monkeypatch, more):
    start_by("fork")
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    batches = stream()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, hard))
    try:
        with pytest.raises(TrainingFailure, match=r"can't start worker processes: OSError: .*Too many open files"):
            next(batches)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    batches.close()
    assert ignored == []


EDITED = """
import torch

class Own(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((1, 2, 2), {value}, dtype=torch.uint8)
"""


def test_a_worker_reads_with_the_code_that_was_imported_though_its_file_is_edited(not_forked, tmp_path, monkeypatch):
    from firebox.engine.components.loading import load_file

    name = f"edited_{not_forked}"
    (tmp_path / f"{name}.py").write_text(EDITED.format(value=5))
    own = load_file(tmp_path / f"{name}.py").Own
    for edited in (EDITED.format(value=6), "raise ValueError('half written')"):
        (tmp_path / f"{name}.py").write_text(edited)
        batches = of(DatasetImages(own()))
        assert read(batches) == 5
        batches.close()
        if not_forked == "spawn":
            return  # once is enough where a worker takes seconds
    # The control.
    monkeypatch.setattr(own_modules, "_SOURCES", {})
    batches = of(DatasetImages(own()))
    with pytest.raises(DataError, match=rf"half written \(.*{name}\.py:1\)"):
        next(batches)
    batches.close()


def test_the_samples_of_tensors_in_memory_are_equal_however_they_are_read(method):
    settings = {"shuffle": True, "batch_size": 3}
    for side, dtype in ((2, torch.int64), (40, torch.bfloat16)):  # by value, and in shared memory
        pixels = torch.arange(16 * side**2).to(torch.uint8).view(16, 1, side, side)
        images = ResidentImages(pixels, torch.arange(16).to(dtype))
        expected = list(itertools.islice(of(images, workers=0, **settings), 9))
        batches = of(images, workers=1 if method == "spawn" else 2, **settings)
        for one, other in zip(expected, itertools.islice(batches, 9), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.targets, other.targets)
            assert other.images.is_shared() == (side == 40) and other.targets.is_shared() == (side == 40)
        batches.close()


KILLED = """
import multiprocessing
import signal
import sys
from pathlib import Path

from tests.data.data_sets import stream

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    hanging, starting = stream(at=2), stream()
    next(hanging)
    starting._read_ahead = starting._reading_ahead(0)
    processes = {int(file.parent.name): file.read_text().rpartition(")")[2].split() for file in
                 Path("/proc").glob("[0-9]*/stat")}
    found = {multiprocessing.process.current_process().pid}
    for _ in range(3):
        found |= {pid for pid, (_, parent, *_) in processes.items() if int(parent) in found}
    print(*found, flush=True)
    signal.pause()
"""


def script(folder, text, *arguments):
    """Starts a script, as a user does."""
    path = folder / "script.py"
    path.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(path), *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_nothing_outlives_a_parent_that_is_killed(method, tmp_path):
    parent = script(tmp_path, KILLED, method)
    processes = [int(pid) for pid in parent.stdout.readline().split()]
    # Four workers, or two that are spawned; what is not forked needs a tracker of resources, a fork server itself.
    assert len(processes) >= {"fork": 5, "forkserver": 7, "spawn": 4}[method]
    assert not any(gone(pid, 0.1) for pid in processes)
    parent.kill()
    parent.communicate()
    assert all(gone(pid, 30) for pid in processes)


LEFT_OPEN = """
import multiprocessing
import sys

from tests.data.data_sets import stream

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    batches = stream(at=int(sys.argv[2]), workers=int(sys.argv[3]))
    next(batches)
"""


def test_an_interpreter_ends_though_a_stream_was_left_open(method, tmp_path):
    process = script(tmp_path, LEFT_OPEN, method, *(("2", "2") if method == "fork" else ("-1", "1")))
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


SMALL = """
import multiprocessing
import sys
from firebox.data.declarations.data_error import DataError
from firebox.foundation.problems import TrainingFailure
from tests.data.data_sets import stream

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    for side in map(int, sys.argv[2:]):
        batches = stream(side=side, workers=1)
        try:
            for _ in range(4):
                batch = next(batches)
            print(batch.images.shape[-1])
        except TrainingFailure as error:
            print(error)
        batches.close()
"""


def test_shared_memory_that_is_full_is_named_instead_of_awaited(method, tmp_path):
    unshare = shutil.which("unshare")
    mounted = 'mount -t tmpfs -o size=2m none /dev/shm && exec "$@"'
    command = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own: unshare --user --mount")
    (tmp_path / "script.py").write_text(SMALL)
    # Enough for small images is the control; one method is enough for it.
    sides = ["2000", *["20"][: method == "fork"]]
    done = subprocess.run(
        [*command, sys.executable, str(tmp_path / "script.py"), method, *sides],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    line, *others = done.stdout.splitlines()
    assert "a worker has no shared memory for a batch of 7.6 MiB" in line, done.stdout + done.stderr
    assert "/dev/shm has" in line
    assert "--shm-size" in line
    assert others == sides[1:]
    assert done.stderr == ""
