"""A checkpoint exists or it doesn't."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from firebox.engine.records import checkpoints
from firebox.engine.records.checkpoints import DamagedCheckpoint, SaveError
from tests.exactness import Fork
from tests.soaking import SOAK

DAMAGES = 1000


def state(iteration=10, size=50):
    torch.manual_seed(iteration)
    return {
        "model": {"weight": torch.randn(size), "bias": torch.zeros(3)},
        "iteration": iteration,
        "handlers": {"a": {}},
    }


def save(folder, iteration=10, size=50, metrics=None):
    metadata = {"iteration": iteration, "epoch": 1, "metrics": metrics or {}, "configuration": "c" * 64}
    return checkpoints.save(folder, state(iteration, size), **metadata)


def test_a_saved_checkpoint_loads_as_it_was(tmp_path):
    path = save(tmp_path, metrics={"validation/loss": 0.5})
    loaded = checkpoints.load(path)
    assert torch.equal(loaded["model"]["weight"], state()["model"]["weight"])
    manifest = checkpoints.verify(path)
    assert (manifest.iteration, manifest.epoch, manifest.metrics) == (10, 1, {"validation/loss": 0.5})


def test_anyone_can_read_a_checkpoint(tmp_path):
    path = save(tmp_path, 469)
    assert path.name == "iteration_00000469"
    assert sorted(file.name for file in path.iterdir()) == ["manifest.json", "state.pt"]
    assert "weight" in torch.load(path / "state.pt", weights_only=True)["model"]
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["files"]["state.pt"]["bytes"] == (path / "state.pt").stat().st_size


def damage(path, kind, draw):
    """Damages a checkpoint in one of the ways that disks, copies and hands do; returns what was done."""
    file = path / draw.choice(["state.pt", "manifest.json"])
    content = bytearray(file.read_bytes())
    if kind == "flip":
        position, bit = draw.randrange(len(content)), draw.randrange(8)
        content[position] ^= 1 << bit
        file.write_bytes(content)
        return f"{file.name}: bit {bit} of byte {position}"
    if kind == "truncate":
        length = draw.randrange(len(content))
        file.write_bytes(content[:length])
        return f"{file.name}: cut to {length} bytes"
    if kind == "append":
        file.write_bytes(content + bytes([draw.randrange(256)]))
        return f"{file.name}: a byte appended"
    if kind == "remove":
        file.unlink()
        return f"{file.name}: removed"
    name = draw.choice(["state.pt", "manifest.json", "both"])
    for swapped in ["state.pt", "manifest.json"] if name == "both" else [name]:
        shutil.copy(path.parent / "iteration_00000020" / swapped, path / swapped)
    return f"{name}: another checkpoint's"


def test_every_damage_is_noticed(tmp_path):
    whole = save(tmp_path / "whole", 10)
    save(tmp_path / "damaged", 20)
    draw = random.Random(0)
    unnoticed = []
    for number in range(DAMAGES):
        path = tmp_path / "damaged" / whole.name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole, path)
        done = damage(path, ["flip", "flip", "truncate", "append", "remove", "swap"][number % 6], draw)
        try:
            checkpoints.load(path)
        except DamagedCheckpoint as error:
            assert str(path) in str(error)
        else:
            unnoticed.append(done)
    assert unnoticed == []


def test_an_undamaged_copy_is_accepted(tmp_path):
    whole = save(tmp_path / "whole", 10)
    shutil.copytree(whole, tmp_path / "copy" / whole.name)
    assert checkpoints.load(tmp_path / "copy" / whole.name)["iteration"] == 10


class Evil:
    def __reduce__(self):
        return (os.system, (f"touch {os.environ['EVIL_MARK']}",))


def test_a_malicious_checkpoint_executes_nothing(tmp_path, monkeypatch):
    mark = tmp_path / "executed"
    monkeypatch.setenv("EVIL_MARK", str(mark))
    pickle.loads(pickle.dumps(Evil()))
    assert mark.exists(), "the attack itself works"
    mark.unlink()
    hostile = {"model": {}, "iteration": 10, "handlers": {"evil": Evil()}}
    metadata = {"iteration": 10, "epoch": 1, "metrics": {}, "configuration": ""}
    path = checkpoints.save(tmp_path, hostile, **metadata)
    checkpoints.verify(path)
    with pytest.raises(DamagedCheckpoint, match="can't be loaded"):
        checkpoints.load(path)
    assert not mark.exists()


def test_a_full_disk_leaves_the_previous_checkpoint_and_nothing_half_made(tmp_path):
    previous = save(tmp_path, 10)
    script = textwrap.dedent(f"""
        import resource, signal, torch
        from pathlib import Path
        from firebox.engine.records import checkpoints
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        state = {{"model": {{"w": torch.zeros(1_000_000)}}, "iteration": 20}}
        for iteration in (20, 10):
            try:
                checkpoints.save(Path({str(tmp_path)!r}), state, iteration=iteration, epoch=1, metrics={{}},
                                 configuration="")
            except checkpoints.SaveError as error:
                print(error)
    """)
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.count("can't write the checkpoint of iteration") == 2
    assert "File too large" in printed
    assert [entry.name for entry in tmp_path.iterdir()] == [previous.name]
    assert checkpoints.load(previous)["iteration"] == 10


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"can't write the checkpoint of iteration 10 into .*file"):
        save(tmp_path / "file")


@pytest.mark.parametrize("kills", [150 if SOAK else 6])
def test_a_kill_while_writing_leaves_a_valid_checkpoint(tmp_path, kills):
    def save_for_ever(iteration, writing):
        state = {"model": {"w": torch.randn(2_000_000)}}
        while True:
            iteration += 1
            state["iteration"] = iteration
            checkpoints.save(tmp_path, state, iteration=iteration, epoch=1, metrics={}, configuration="")
            for old in checkpoints.iterations_in(tmp_path)[:-1]:
                checkpoints.remove(checkpoints.path_of(tmp_path, old))
            os.write(writing, f"{iteration}\n".encode())

    draw = random.Random(1)
    last = 0
    orphans = 0
    for _ in range(kills):
        reading, writing = os.pipe()
        process = Fork(save_for_ever, last, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert int(told.readline()) == last + 1
            time.sleep(draw.uniform(0, 0.3))
            process.kill()
            reported = [int(line) for line in told.read().split()] or [last + 1]
        assert process.wait() == -signal.SIGKILL
        orphans += len([entry for entry in tmp_path.iterdir() if entry.name.startswith(".")])
        checkpoints.clean(tmp_path)
        newest = checkpoints.iterations_in(tmp_path)[-1]
        last = checkpoints.load(checkpoints.path_of(tmp_path, newest))["iteration"]
        assert last >= reported[-1]
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_replacing_a_checkpoint_survives_a_kill_between_its_two_renames(tmp_path):
    path = save(tmp_path, 10)
    path.rename(tmp_path / f".{path.name}.replaced")
    (tmp_path / f".{path.name}.writing").mkdir()
    assert checkpoints.clean(tmp_path) == [f".{path.name}.writing"]
    assert checkpoints.load(path)["iteration"] == 10


def test_every_byte_and_every_entry_is_flushed_to_disk(tmp_path, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    save(tmp_path)
    names = [name.removeprefix(str(tmp_path)) for name in synced]
    writing = "/.iteration_00000010.writing"
    assert names == [f"{writing}/state.pt", f"{writing}/manifest.json", writing, ""]
