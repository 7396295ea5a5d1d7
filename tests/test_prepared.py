"""Runs over decoded samples that are kept: killed, stopped, two at once, and where the cache can't be used."""

import os
import resource
import shutil
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import yaml

from firebox.data.preparation import prepared
from firebox.data.preparation.prepared import PreparedImages
from firebox.engine.checks import first_samples
from firebox.engine.training import factory
from firebox.engine.training.limits import watch
from firebox.engine.training.reading import streams
from tests.data.folders_of_images import write_images
from tests.exactness import (
    LONGEST,
    Forked,
    differences,
    kill_at,
    only_run,
    output,
    rehearse,
    resumed_to_the_end,
    write_configuration,
)
from tests.soaking import SOAK

COUNT = 96


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    write_images(root, COUNT)
    return root


def write(folder, images, *, cache="auto", **settings):
    """Writes the configuration of a run over a folder of images; its cache is ``folder``'s own unless it is off."""
    data = {"name": "image_folder", "root": str(images), "image_size": [32, 32], "validation_fraction": 0.2}
    data |= {"cache": str(folder / "cache") if cache == "auto" else cache, "batch_size": 16, "evaluation_batch_size": 8}
    path = write_configuration(folder, {"training": {"epochs": 2}, "handlers": HANDLERS})
    content = yaml.safe_load(path.read_text())
    content["datamodule"] = {**data, **settings}
    path.write_text(yaml.safe_dump(content))
    return path


HANDLERS = [
    {"checkpoint": {"every": "2 iterations", "keep_last": 2, "keep_best": 1, "monitor": "validation/loss"}},
    {"evaluation": {"every": "1 epoch"}},
    {"loss_log": {"every": "1 iteration"}},
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, images):
    """The run that decodes its samples each time and is never stopped."""
    configuration = write(tmp_path_factory.mktemp("plain"), images, cache="off", placement="stream")
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    rehearse(configuration)
    return only_run(configuration.parent)


def cached(configuration):
    place = configuration.parent / "cache"
    return sorted(path.name.partition(".")[2] for path in place.iterdir()) if place.is_dir() else []


def while_preparing(action, least=1):
    """Prepares a fork: ``action()`` once so many samples are decoded."""

    def prepare():
        @contextmanager
        def acting():
            def told(_, done, __):
                if done >= least:
                    action()

            yield told

        streams.shown_progress = acting

    return prepare


def killed_when(done):
    return while_preparing(lambda: os.kill(os.getpid(), signal.SIGKILL), done)


@pytest.mark.parametrize(
    "settings", [{}, {"workers": 2}, {"placement": "memory"}, {"placement": "stream", "workers": 1}]
)
def test_a_run_over_kept_samples_is_the_run_that_decodes_them(plain, images, tmp_path, settings):
    configuration = write(tmp_path, images, **settings)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    assert f"{COUNT} samples decoded in " in output(configuration)
    assert differences(plain, only_run(tmp_path)) == []
    assert cached(configuration) == ["samples"]


def test_batches_that_a_thread_reads_are_those_of_a_run_that_is_killed_and_resumed_without_one(plain, images, tmp_path):
    def prepare():
        prepared.LARGE = 1
        kill_at(5)()

    configuration = write(tmp_path, images)
    assert Forked(str(configuration), prepare=prepare).wait() == -signal.SIGKILL
    assert differences(plain, resumed_to_the_end(configuration)) == []


def test_a_thread_that_hangs_as_it_reads_fails_the_run_at_the_time_limit(images, tmp_path):
    configuration = write(tmp_path, images, timeout=1.0)

    def prepare():
        prepared.LARGE, watch.LOOK_SECONDS, read = 1, 0.5, PreparedImages.gather

        def hanging(source, indices, **address):
            if threading.current_thread() is not threading.main_thread() and 3 in indices:
                threading.Event().wait()
            return read(source, indices, **address)

        PreparedImages.gather = hanging

    assert Forked(str(configuration), prepare=prepare).wait() == 1, output(configuration)
    shown = " ".join(output(configuration).split())
    assert "no batch within 1 s: the data set blocks, or needs a longer timeout" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("done", [1, 64, COUNT] if SOAK else [64])
def test_a_kill_while_the_cache_is_half_written_changes_nothing(plain, images, tmp_path, done):
    configuration = write(tmp_path, images)
    assert Forked(str(configuration), prepare=killed_when(done)).wait() == -signal.SIGKILL
    assert cached(configuration) == ["samples.writing"]
    assert not (tmp_path / "runs").exists()
    assert Forked(str(configuration), prepare=kill_at(5)).wait() == -signal.SIGKILL
    assert cached(configuration) == ["samples"]
    shutil.rmtree(tmp_path / "cache")
    assert Forked(str(configuration), "--resume", prepare=killed_when(done)).wait() == -signal.SIGKILL
    assert cached(configuration) == ["samples.writing"]

    assert differences(plain, resumed_to_the_end(configuration)) == []
    assert cached(configuration) == ["samples"]


def test_two_processes_fill_one_cache(plain, images, tmp_path):
    first, second = (write(tmp_path / name, images, cache=str(tmp_path / "cache")) for name in ("first", "second"))
    processes = [Forked(str(configuration)) for configuration in (first, second)]
    assert [process.wait() for process in processes] == [0, 0]
    outputs = output(first) + output(second)

    assert outputs.count(f"{COUNT} samples decoded in ") == 1
    assert outputs.count("decoded samples are read from ") == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for configuration in (first, second):
        assert differences(plain, only_run(configuration.parent)) == []


def test_a_process_that_waits_goes_on_by_itself_once_the_other_is_killed(plain, images, tmp_path):
    first, second = (write(tmp_path / name, images, cache=str(tmp_path / "cache")) for name in ("first", "second"))
    hanging = Forked(str(first), prepare=while_preparing(lambda: time.sleep(600)))
    eventually(lambda: list((tmp_path / "cache").glob("*.writing")))
    waiting, log = Forked(str(second)), tmp_path / "second" / "output.txt"
    eventually(lambda: "another process decodes the same files" in (log.read_text() if log.exists() else ""))
    hanging.kill()
    assert waiting.wait() == 0, output(second)

    assert f"{COUNT} samples decoded in " in output(second)
    assert differences(plain, only_run(second.parent)) == []


def eventually(condition):
    ends = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.mark.parametrize("damage", ["record", "header", "cut"])
def test_a_damaged_cache_is_said_and_changes_nothing(plain, images, tmp_path, damage):
    configuration = write(tmp_path, images)
    assert Forked(str(configuration), prepare=killed_at_once()).wait() == -signal.SIGKILL
    (entry,) = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    if damage == "cut":
        content = content[:70_000]
    else:
        at = 50 if damage == "header" else 4096 + 3072 * 40
        content[at : at + 9] = b"not right"
    entry.write_bytes(content)
    assert Forked(str(configuration)).wait() == 0, output(configuration)

    assert "is damaged: " in output(configuration) or "can't be used: " in output(configuration)
    assert differences(plain, only_run(tmp_path)) == []


def killed_at_once():
    """Prepares a fork to be killed once the samples are prepared, before anything else is written."""

    def prepare():
        def kill(_):
            os.kill(os.getpid(), signal.SIGKILL)

        first_samples.require_first_samples = kill

    return prepare


def test_a_file_that_may_not_become_so_large_is_said_and_the_run_goes_on(plain, images, tmp_path):
    configuration = write(tmp_path, images)

    def limit():
        build, (_, hard) = factory.build_streams, resource.getrlimit(resource.RLIMIT_FSIZE)

        def limited(*arguments):
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            built = build(*arguments)
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            return built

        factory.build_streams = limited

    assert Forked(str(configuration), prepare=limit).wait() == 0, output(configuration)
    assert "no decoded samples are kept: File too large" in output(configuration)
    assert differences(plain, only_run(tmp_path)) == []
    assert cached(configuration) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_preparing_stops_and_leaves_nothing(images, tmp_path, number):
    configuration = write(tmp_path, images)
    code = {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    stop = while_preparing(lambda: os.kill(os.getpid(), number))
    assert Forked(str(configuration), prepare=stop).wait() == code
    assert "stopped while starting" in output(configuration)
    assert cached(configuration) == []
    assert not (tmp_path / "runs").exists()


def test_bad_files_are_refused_before_anything_is_written(images, tmp_path):
    shutil.copytree(images, tmp_path / "images")
    for name in ("ant/000.png", "bee/001.jpg"):
        (tmp_path / "images" / name).write_bytes(b"torn")
    configuration = write(tmp_path, tmp_path / "images")
    assert Forked(str(configuration)).wait() == 2
    assert "2 of 96 files" in output(configuration)
    assert "ant/000.png" in output(configuration)
    assert "bee/001.jpg" in output(configuration)
    assert "Traceback" not in output(configuration)
    assert cached(configuration) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("cache", ["auto", "off"] if SOAK else ["auto"])
def test_bad_files_are_skipped_alike_after_resuming(images, tmp_path, cache):
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "ant" / "010.png").write_bytes(b"torn")
    whole, killed = (
        write(tmp_path / name, tmp_path / "images", cache=cache, on_bad_file="skip") for name in ("whole", "killed")
    )
    assert Forked(str(whole)).wait() == 0, output(whole)
    assert "1 of 96 files" in output(whole)
    assert "2 classes: ant 47, bee 48" in output(whole)
    assert Forked(str(killed), prepare=kill_at(5)).wait() == -signal.SIGKILL
    assert differences(only_run(whole.parent), resumed_to_the_end(killed)) == []
    assert output(killed).count("can't be decoded and are skipped: ant/010.png") == 2
