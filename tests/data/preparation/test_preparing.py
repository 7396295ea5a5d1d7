"""The cache of decoded samples: what is in it, who fills it, and what is done where it can't be used."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from firebox.data.cache import cache as caching
from firebox.data.cache.cache import KEPT, WRITING, Cache, write_at
from firebox.data.cache.sample_file import Column, Layout, SampleFile, Unusable
from firebox.data.declarations.data_error import DataError
from firebox.data.decoding import image_files
from firebox.data.fingerprints.fingerprint import fingerprint
from firebox.data.image_folder import ImageFolder
from firebox.data.preparation import decoded_files
from firebox.data.preparation.prepared import PreparedImages
from firebox.data.preparation.preparing import key_of, prepare, told, verify_files
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import DatasetImages, ResidentImages
from firebox.data.workers import read_ahead
from firebox.foundation.problems import Interrupted
from tests.data.folders_of_images import write_images

COUNT = 40
SIZE = (16, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", COUNT)
    return tmp_path / "images"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("firebox").propagate = True
    caplog.set_level(logging.INFO, "firebox")
    return caplog


def made(folder: Path, **settings: object) -> ImageFolder:
    return ImageFolder(root=str(folder), image_size=SIZE, **settings)  # type: ignore[arg-type]


def prepared(folder: Path, reading: Reading, **settings: object) -> ImageFolder:
    datamodule = made(folder, **settings)
    datamodule.prepare(reading)
    return datamodule


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def everything(datamodule: ImageFolder) -> list[torch.Tensor]:
    found = []
    for split, length in datamodule.split_lengths.items():
        images, labels = datamodule.read(split).gather(torch.arange(length))
        assert labels is not None
        found += [images, labels]
    return found


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_prepared_samples_are_those_that_are_decoded(folder: Path, tmp_path: Path, workers: int) -> None:
    reading = Reading(workers=workers, cache=tmp_path / "cache")
    datamodule = prepared(folder, reading)

    assert isinstance(datamodule.read("train"), PreparedImages)
    assert isinstance(made(folder).read("train"), DatasetImages)
    assert same(everything(datamodule), everything(made(folder)))
    assert [path.name.endswith(KEPT) for path in entries(tmp_path / "cache")] == [True]


@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_a_batch_is_laid_out_as_one_from_memory(folder: Path, tmp_path: Path, color: str) -> None:
    source = prepared(folder, Reading(cache=tmp_path / "cache"), color=color).read("train")
    assert isinstance(source, PreparedImages)
    resident = source.all()
    indices = torch.tensor([3, 1, 3, 0])

    assert isinstance(resident, ResidentImages)
    for read, held in zip(source.gather(indices), resident.gather(indices), strict=True):
        assert read is not None and held is not None
        assert torch.equal(read, held)
        assert read.stride() == held.stride()
    assert torch.equal(source.labels, made(folder, color=color).read("train").labels)  # type: ignore[union-attr, arg-type]


def test_the_same_bytes_are_written_whoever_decodes_and_in_groups_or_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for workers in (0, 1, 2):
        prepared(folder, Reading(workers=workers, cache=tmp_path / f"by_{workers}"))
        files += [path.read_bytes() for path in entries(tmp_path / f"by_{workers}")]
    monkeypatch.setattr(image_files, "SMALL", 0)
    monkeypatch.setattr(decoded_files, "AT_ONCE", 1)
    prepared(folder, Reading(cache=tmp_path / "alone"))
    files += [path.read_bytes() for path in entries(tmp_path / "alone")]
    assert len(files) == 4
    assert len(set(files)) == 1


def test_a_write_that_ends_early_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [bytes([number]) * number for number in (3, 0, 7, 1, 12)]
    descriptor = os.open(tmp_path / "written", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(os, "pwritev", lambda file, left, offset: os.pwrite(file, b"".join(left)[:5], offset))
    write_at(descriptor, list(map(memoryview, parts)), 2)
    os.close(descriptor)
    assert (tmp_path / "written").read_bytes() == b"\0\0" + b"".join(parts)


SPAWNED = """
import multiprocessing, sys
from pathlib import Path
from firebox.data.image_folder import ImageFolder
from firebox.data.sources.reading import Reading
import pickle, torch

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    datamodule = ImageFolder(root=sys.argv[1], image_size=(16, 16))
    datamodule.prepare(Reading(workers=2, cache=Path(sys.argv[2])))
"""


@pytest.mark.slow
def test_processes_that_are_spawned_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spawned.py").write_text(SPAWNED)
    command = [sys.executable, str(tmp_path / "spawned.py"), str(folder), str(tmp_path / "spawned")]
    subprocess.run(command, check=True, timeout=240)
    prepared(folder, Reading(cache=tmp_path / "here"))

    assert [p.read_bytes() for p in entries(tmp_path / "spawned")] == [
        p.read_bytes() for p in entries(tmp_path / "here")
    ]


def test_the_second_time_nothing_is_decoded(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(workers=1, cache=tmp_path / "cache")
    before = everything(prepared(folder, reading))
    assert f"{COUNT} samples decoded in " in said.text
    monkeypatch.setattr("firebox.data.decoding.decoding.ImageDecoder.__call__", lambda *_: pytest.fail("decoded"))

    assert same(everything(prepared(folder, reading)), before)
    assert "decoded samples are read from " in said.text


def test_what_decides_the_samples_decides_where_they_are_kept(folder: Path, tmp_path: Path) -> None:
    reading = Reading(cache=tmp_path / "cache")
    prepared(folder, reading)
    prepared(folder, reading, split_seed=5, validation_fraction=0.5)
    shutil.copytree(folder, tmp_path / "moved")  # with the times of change
    prepared(tmp_path / "moved", reading)
    assert len(entries(tmp_path / "cache")) == 1

    prepared(folder, reading, color="grayscale")
    assert len(entries(tmp_path / "cache")) == 2
    os.utime(folder / "ant" / "000.png")
    prepared(folder, reading)
    assert len(entries(tmp_path / "cache")) == 3
    prepared(folder, replace(reading, content=True))
    os.utime(folder / "ant" / "000.png", (0, 0))
    prepared(folder, replace(reading, content=True))
    assert len(entries(tmp_path / "cache")) == 4


def test_the_content_of_files_can_decide(folder: Path, tmp_path: Path) -> None:
    reading = Reading(cache=tmp_path / "cache", content=True)
    path = folder / "ant" / "plain.bmp"
    Image.new("L", (16, 16), 7).save(path)
    state = path.stat()
    prepared(folder, reading)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    prepared(folder, replace(reading, content=False))
    prepared(folder, reading)

    assert len(entries(tmp_path / "cache")) == 3


def test_the_content_of_files_is_read_once_for_what_is_kept_and_for_the_fingerprint(
    folder: Path, tmp_path: Path
) -> None:
    hashed: list[int] = []

    def progress(what: str, done: int, _: int) -> None:
        hashed.extend([done] if what == "files hashed" else [])

    reading = Reading(cache=tmp_path / "cache", content=True, progress=progress)
    found = fingerprint(prepared(folder, reading), pytest.fail, reading, content=True)
    assert hashed == list(range(1, COUNT + 1))
    (folder / "ant" / "000.png").write_bytes((folder / "ant" / "002.png").read_bytes())
    assert found != fingerprint(made(folder), pytest.fail, reading, content=True)  # data made anew reads it anew
    assert len(hashed) == 2 * COUNT


@pytest.mark.parametrize("place", ["record", "header", "table", "end", "cut", "empty", "other"])
def test_damage_is_said_and_nothing_wrong_is_read(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture, place: str
) -> None:
    reading = Reading(cache=tmp_path / "cache")
    expected = everything(prepared(folder, reading))
    (entry,) = entries(tmp_path / "cache")
    whole = entry.read_bytes()
    content = bytearray(whole)
    if place in ("cut", "empty"):
        content = content[: len(content) // 2 if place == "cut" else 0]
    elif place == "other":
        content = bytearray(b"no samples at all" * 1000)
    else:
        at = {"record": 4096 + 5000, "header": 40, "table": 4096 + COUNT * 768 + 7, "end": len(content) - 1}[place]
        content[at] ^= 1
    entry.write_bytes(content)
    said.clear()

    assert same(everything(prepared(folder, reading)), expected)
    assert str(entry) in said.text
    assert ("is damaged" if place == "record" else "can't be used: ") in said.text
    prepared(folder, reading)
    assert entry.read_bytes() == whole


def test_pipes_in_its_place_are_not_waited_for(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    reading = Reading(cache=tmp_path / "cache")
    prepared(folder, reading)
    (entry,) = entries(tmp_path / "cache")
    entry.unlink()
    for path in (entry, tmp_path / "cache" / f"other{WRITING}"):
        os.mkfifo(path)

    assert same(everything(prepared(folder, reading)), everything(made(folder)))
    assert "can't be used: it is no file; the samples are prepared anew" in said.text
    assert entries(tmp_path / "cache") == [entry]


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damage_while_it_is_read_is_noticed(folder: Path, tmp_path: Path, damage: str) -> None:
    datamodule = prepared(folder, Reading(cache=tmp_path / "cache"))
    expected = everything(datamodule)
    (entry,) = entries(tmp_path / "cache")
    with entry.open("r+b") as file:
        if damage == "cut":
            file.truncate(5000)
        else:
            file.seek(4096 + 3)
            file.write(bytes(255 - value for value in entry.read_bytes()[4099:4199]))

    assert same(everything(datamodule), expected)
    assert entries(tmp_path / "cache") == []


def test_a_worker_opens_the_file_itself_and_does_without_it(folder: Path, tmp_path: Path) -> None:
    source = prepared(folder, Reading(cache=tmp_path / "cache")).read("train")
    handed = pickle.dumps(source)
    expected = source.gather(torch.arange(9))[0]
    assert torch.equal(pickle.loads(handed).gather(torch.arange(9))[0], expected)
    entries(tmp_path / "cache")[0].unlink()
    assert torch.equal(pickle.loads(handed).gather(torch.arange(9))[0], expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_leaves_nothing_half_made(folder: Path, tmp_path: Path, workers: int) -> None:
    stopped = threading.Event()
    seen: list[int] = []

    def stop(_: str, done: int, __: int) -> None:
        seen.append(done)
        stopped.set()

    reading = Reading(workers=workers, cache=tmp_path / "cache", stopping=stopped.is_set, progress=stop)
    with pytest.raises(Interrupted):
        prepared(folder, reading)
    assert len(seen) == 1
    assert entries(tmp_path / "cache") == []


def test_a_process_that_fails_is_said_with_what_does_without_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = image_files.ImageFiles.loaded

    def failing(files: image_files.ImageFiles, index: int) -> image_files.Files:
        if get_worker_info() is not None:
            os._exit(3)
        return loaded(files, index)

    monkeypatch.setattr(image_files.ImageFiles, "loaded", failing)
    monkeypatch.setattr(read_ahead, "POLL_SECONDS", 0.05)
    with pytest.raises(DataError, match=r"exit code 3 .*; with cache: off, files are decoded as they are needed$"):
        prepared(folder, Reading(workers=1, cache=tmp_path / "cache"))
    assert entries(tmp_path / "cache") == []
    datamodule = made(folder)
    with pytest.raises(DataError, match=r"exit code 3 while reading \S+/000.png$"):
        verify_files(datamodule.listing, datamodule.decoder, Reading(workers=1))


def test_files_that_change_meanwhile_are_not_kept(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    datamodule = made(folder)
    assert len(datamodule.listing or ()) == COUNT
    os.utime(folder / "ant" / "000.png", (0, 0))
    datamodule.prepare(Reading(cache=tmp_path / "cache"))

    assert "1 file changed while they were decoded, such as ant/000.png; goes on without" in said.text
    assert entries(tmp_path / "cache") == []
    assert isinstance(datamodule.read("train"), DatasetImages)


# Who writes


def test_one_process_waits_for_the_other_and_reads_what_it_wrote(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    reading = Reading(cache=tmp_path / "cache")
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*_: object) -> None:
        begun.set()
        go_on.wait(60)

    def wait(what: str, *_: object) -> None:
        assert what == "samples decoded by another process"
        go_on.set()

    first = threading.Thread(target=prepared, args=(folder, replace(reading, progress=slowly)))
    first.start()
    assert begun.wait(60)
    second = prepared(folder, replace(reading, progress=wait))
    first.join()

    assert said.text.count("samples decoded in ") == 1
    assert "another process decodes the same files" in said.text
    assert same(everything(second), everything(made(folder)))


def test_another_process_that_makes_no_progress_is_not_waited_for(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    datamodule = made(folder)
    key = key_of(datamodule.listing, datamodule.decoder)  # type: ignore[arg-type]
    with Cache(tmp_path / "cache", 1 << 30).writing(key, 1000) as file:
        assert file is not None
        datamodule.prepare(Reading(cache=tmp_path / "cache", timeout=0.3))
    assert "made no progress for 0.3 s; goes on without" in said.text
    assert isinstance(datamodule.read("train"), DatasetImages)


def test_a_stop_ends_the_waiting(folder: Path, tmp_path: Path) -> None:
    datamodule = made(folder)
    key = key_of(datamodule.listing, datamodule.decoder)  # type: ignore[arg-type]
    asked = iter([False, False, True])
    with Cache(tmp_path / "cache", 1 << 30).writing(key, 1000), pytest.raises(Interrupted):
        datamodule.prepare(Reading(cache=tmp_path / "cache", stopping=lambda: next(asked)))


def test_what_killed_processes_leave_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1 << 30)
    (tmp_path / f"left{WRITING}").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("kept")
    with cache.writing("a" * 64, 10), cache.writing("b" * 64, 10):
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"a" * 32 + WRITING, "b" * 32 + WRITING, "mine.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


def test_without_locks_each_process_writes_a_file_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    (tmp_path / "cache").mkdir()
    old, young = (tmp_path / "cache" / f"{name}{WRITING}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    datamodule = prepared(folder, Reading(cache=tmp_path / "cache"))

    assert same(everything(datamodule), everything(made(folder)))
    assert not old.exists() and young.exists()
    assert len(entries(tmp_path / "cache")) == 2


# How much


def kept(cache: Cache, key: str, *, records: int = 100, used: float) -> Path:
    layout = Layout(key, records, (Column("image", "uint8", (10, 10, 1)),))
    with cache.writing(key, layout.size) as file:
        assert file is not None
        file.write(layout.head + bytes(layout.size - len(layout.head)), 0)
        import numpy

        file.write(layout.table(numpy.zeros(records, "u4"), numpy.zeros(records, bool)), layout.offset(records))
        file.keep()
    os.utime(cache.entry(key), (used, used))
    return cache.entry(key)


def test_what_was_not_used_for_longest_makes_room_unless_it_is_in_use(tmp_path: Path) -> None:
    size = Layout("k" * 64, 100, (Column("image", "uint8", (10, 10, 1)),)).size
    cache = Cache(tmp_path, int(3.5 * size))
    paths = {name: kept(cache, name * 64, used=used) for name, used in (("a", 300), ("b", 100), ("c", 200))}
    in_use = SampleFile(paths["b"], "b" * 64)
    paths["d"] = kept(cache, "d" * 64, used=400)
    assert [name for name, path in paths.items() if path.exists()] == ["a", "b", "d"]
    assert cache.open("a" * 64) is not None  # from now on the one used last
    del in_use
    paths["e"] = kept(cache, "e" * 64, used=500)
    assert [name for name, path in paths.items() if path.exists()] == ["a", "d", "e"]


@pytest.mark.parametrize(("limit", "disk"), [(1000, None), (1 << 30, 2000)])
def test_samples_that_do_not_fit_are_not_kept(
    folder: Path,
    tmp_path: Path,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    disk: int | None,
) -> None:
    if disk is not None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(caching.shutil, "disk_usage", lambda _: usage._replace(free=caching.MARGIN + disk))
    datamodule = prepared(folder, Reading(cache=tmp_path / "cache", cache_bytes=limit))

    reason = "left on the disk" if disk else "that datamodule.cache_gib allows"
    assert reason in said.text and "goes on without" in said.text
    assert entries(tmp_path / "cache") == []
    assert same(everything(datamodule), everything(made(folder)))


@pytest.mark.parametrize("asked", [False, True])
def test_a_folder_that_cannot_be_written_to_is_said(folder: Path, said: pytest.LogCaptureFixture, asked: bool) -> None:
    datamodule = prepared(folder, Reading(cache=Path("/proc/firebox"), asked=asked))

    (record,) = said.records
    assert record.levelname == ("WARNING" if asked else "INFO")
    assert "/proc/firebox; goes on without" in record.getMessage()
    assert same(everything(datamodule), everything(made(folder)))


def test_what_is_in_a_folder_that_is_only_read_is_used(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    prepared(folder, Reading(cache=place))
    if os.geteuid():
        place.chmod(0o555)
    elif subprocess.run(["mount", "-o", "bind,ro", place, place], check=False, capture_output=True).returncode:
        pytest.skip("mounts nothing")
    try:
        datamodule = prepared(folder, Reading(cache=place))
        other = prepared(folder, Reading(cache=place), color="grayscale")
        (entry,) = entries(place)
        assert isinstance(datamodule.read("train"), PreparedImages)
        assert isinstance(other.read("train"), DatasetImages)
    finally:
        if os.geteuid():
            place.chmod(0o755)
        else:
            subprocess.run(["umount", "-l", place], check=True)
    assert entry.exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_meanwhile_is_said_and_nothing_is_left(
    tmp_path: Path, said: pytest.LogCaptureFixture, workers: int
) -> None:
    write_images(tmp_path / "images", 200)
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounts nothing")

    def fill(*_: object) -> None:
        with (place / "other.bin").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    try:
        datamodule = prepared(tmp_path / "images", Reading(cache=place / "cache", workers=workers, progress=fill))
        assert "No space left on device" in said.text
        assert entries(place / "cache") == []
        assert same(everything(datamodule), everything(made(tmp_path / "images")))
    finally:
        subprocess.run(["umount", "-l", place], check=True)


MEMORY = """
import sys, numpy, torch
from pathlib import Path
from firebox.data.cache.cache import Cache
from firebox.data.cache.sample_file import Column, Layout, SampleFile
from crc32c import crc32c

torch.set_num_threads(1)
layout = Layout("k" * 64, 1024, (Column("image", "uint8", (256, 256, 1)),))
cache = Cache(Path(sys.argv[1]), 1 << 40)
with cache.writing(layout.key, layout.size) as file:
    record = bytes(range(256)) * 256
    file.write(layout.head, 0)
    for position in range(layout.count):
        file.write(record, layout.offset(position))
    sums = numpy.full(layout.count, crc32c(record), numpy.uint32)
    file.write(layout.table(sums, numpy.zeros(layout.count, bool)), layout.offset(layout.count))
    file.keep()

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

kept = SampleFile(cache.entry(layout.key), layout.key)
kept.read(torch.arange(8))
before = peak()
for epoch in range(2):
    for indices in torch.randperm(layout.count).split(8):
        records, wrong = kept.read(indices)
        assert not wrong
print(peak() - before)
numpy.memmap(cache.entry(layout.key), mode="r").sum()
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_the_memory_of_a_process_stays_bounded_whatever_the_size(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]  # a file of 64 MiB
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    grown, mapped = map(float, done.stdout.split())
    assert grown < 8
    assert mapped > 48  # the control: through a map, all of it becomes resident


# What can't be decoded


def broken(folder: Path, *numbers: int) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*.*"))
    for number in numbers:
        paths[number].write_bytes(paths[number].read_bytes()[:60])
    return [paths[number] for number in numbers]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_refused_all_at_once_and_nothing_is_kept(folder: Path, tmp_path: Path, workers: int) -> None:
    paths = broken(folder, 3, 8, 30)
    with pytest.raises(DataError) as refused:
        prepared(folder, Reading(workers=workers, cache=tmp_path / "cache"))
    message = str(refused.value)

    assert message.startswith(f"3 of {COUNT} files in {folder} can't be decoded: ")
    assert all(path.relative_to(folder).as_posix() in message for path in paths)
    assert "on_bad_file: skip" in message
    assert entries(tmp_path / "cache") == []


@pytest.mark.parametrize("cached", [True, False])
def test_bad_files_are_left_out_and_no_other_sample_changes_its_split(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture, cached: bool
) -> None:
    whole = made(folder)
    before = {split: whole.positions(split).tolist() for split in whole.split_lengths}
    paths = broken(folder, before["train"][2], before["validation"][1])
    reading = Reading(workers=2, cache=tmp_path / "cache" if cached else None)
    for _ in range(2):
        datamodule = prepared(folder, reading, on_bad_file="skip")
        assert datamodule.split_lengths == {split: len(positions) - 1 for split, positions in before.items()}
        after = {split: datamodule.positions(split).tolist() for split in before}
        left_out = (before["train"][2], before["validation"][1])
        assert after == {split: [p for p in before[split] if p not in left_out] for split in before}
        assert list(datamodule.skipped) == sorted(path.relative_to(folder).as_posix() for path in paths)
        assert f"2 of {COUNT} files in {folder} can't be decoded and are skipped: " in said.messages[-1]
        assert [len(part) for part in everything(datamodule)[::2]] == list(datamodule.split_lengths.values())
    assert len(entries(tmp_path / "cache")) == cached


def test_bad_files_that_were_skipped_are_refused_by_the_next_run_that_refuses(folder: Path, tmp_path: Path) -> None:
    broken(folder, 3)
    reading = Reading(cache=tmp_path / "cache")
    prepared(folder, reading, on_bad_file="skip")
    with pytest.raises(DataError, match=f"1 of {COUNT} files"):
        prepared(folder, reading)


def test_a_file_that_could_not_be_read_for_a_while_is_no_bad_one(folder: Path, tmp_path: Path) -> None:
    reading = Reading(cache=tmp_path / "cache")
    path = sorted(folder.rglob("*.*"))[3]
    state, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(prepared(folder, reading, on_bad_file="skip").skipped) == 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    datamodule = prepared(folder, reading, on_bad_file="skip")

    assert datamodule.skipped == []
    assert same(everything(datamodule), everything(made(folder)))


def test_a_class_or_a_split_that_would_be_empty_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("ant/0", "ant/1", "ant/2", "bee/0")):
        path = tmp_path / "classes" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    (tmp_path / "classes" / "bee" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="nothing would be left to train on of bee"):
        prepared(tmp_path / "classes", Reading(), on_bad_file="skip", validation_fraction=0)
    for split in ("train", "test"):
        path = tmp_path / "splits" / split / "0.png"
        path.parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(path)
    (tmp_path / "splits" / "test" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="the test split would have no sample left"):
        prepared(tmp_path / "splits", Reading(), on_bad_file="skip")


def test_all_files_can_be_verified_without_keeping_anything(folder: Path, tmp_path: Path) -> None:
    broken(folder, 3, 8)
    datamodule = made(folder)
    listing = datamodule.listing
    assert listing is not None
    seen: list[tuple[str, int, int]] = []
    found = verify_files(listing, datamodule.decoder, Reading(workers=2, progress=lambda *told: seen.append(told)))

    assert list(found) == [3, 8]
    assert all(why.startswith("can't be read as an image: ") for why in found.values())
    assert seen[-1] == ("samples decoded", COUNT, COUNT)
    assert told(listing, found, most=1).endswith(") and 1 more")
    assert not (tmp_path / "cache").exists()


def test_another_file_under_the_name_is_not_taken(folder: Path, tmp_path: Path) -> None:
    prepared(folder, Reading(cache=tmp_path / "cache"))
    (entry,) = entries(tmp_path / "cache")
    with pytest.raises(Unusable, match="other samples"):
        SampleFile(entry, "x" * 64)
    data = made(folder)
    assert prepare(data.listing, data.decoder, Reading(), skip=False, contents=data.contents).kept is None
    assert time.time() - entry.stat().st_mtime < 600
