"""TensorBoard itself reads what a run writes: over its HTTP API, and in a browser."""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from tests.exactness import ITERATIONS, Forked, kill_at, only_run, resumed_to_the_end, write_configuration

CURVES = (255, 112, 67), (0, 119, 187)
"""The colours of TensorBoard's first two curves; equal ones lie on top of each other."""


@pytest.fixture(scope="module")
def server(reference, tmp_path_factory):
    """TensorBoard on the run that was never stopped and on one that was killed and resumed.

    It is resumed from the checkpoint of iteration 19: the point of iteration 20 is written by both of its processes.
    """
    folder = tmp_path_factory.mktemp("resumed")
    configuration = write_configuration(folder)
    assert Forked(str(configuration), prepare=kill_at(25)).wait() == -signal.SIGKILL
    shutil.rmtree(only_run(folder) / "checkpoints" / "iteration_00000021", ignore_errors=True)
    resumed = resumed_to_the_end(configuration)
    logs = tmp_path_factory.mktemp("logs")
    (logs / "whole").symlink_to(reference)
    (logs / "resumed").symlink_to(resumed)
    output = (logs / "output.txt").open("w+")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--load_fast", "false"], stdout=output, stderr=output)
    address = None
    for _ in range(600):
        text = (logs / "output.txt").read_text()
        if " at http://" in text:
            address = text.split(" at ")[1].split()[0].rstrip("/")
            break
        assert process.poll() is None, text
        time.sleep(0.1)
    assert address is not None, "TensorBoard did not start within a minute"
    yield address
    process.terminate()
    process.wait()
    output.close()


def ask(server, path, **query):
    address = f"{server}/data/plugin/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=30) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            error.close()
            body = b"{}"
        if body not in (b"{}", b"[]"):
            return body
        time.sleep(0.1)
    raise AssertionError(f"{address}: nothing within half a minute")


def tags(server, plugin):
    answer = json.loads(ask(server, f"{plugin}/tags"))
    for _ in range(300):
        if len(answer) == 2:
            break
        time.sleep(0.1)
        answer = json.loads(ask(server, f"{plugin}/tags"))
    return {run.partition("/")[0]: (run, set(names)) for run, names in answer.items()}


def curve(server, run, tag):
    return json.loads(ask(server, "scalars/scalars", run=run, tag=tag))


def test_scalars_are_there(server):
    run, names = tags(server, "scalars")["whole"]
    expected = {"loss/train", "optimization/learning_rate", "optimization/images_per_second"}
    assert expected <= names
    assert min(names) == "loss/train", "TensorBoard sorts by name"
    assert {"loss/validation", "metrics/psnr/validation", "metrics/ssim/validation", "test/loss", "test/psnr"} <= names
    assert [step for _, step, _ in curve(server, run, "loss/validation")] == [19, 38, 57]


def test_a_resumed_run_is_one_clean_curve(server):
    runs = tags(server, "scalars")
    for tag in ("loss/train", "optimization/learning_rate", "loss/validation", "metrics/ssim/validation"):
        whole = [(step, value) for _, step, value in curve(server, runs["whole"][0], tag)]
        resumed = [(step, value) for _, step, value in curve(server, runs["resumed"][0], tag)]
        # Where the run was killed the stretches between two readings may be cut elsewhere; values never differ.
        assert [step for step, _ in resumed] == sorted({step for step, _ in resumed})
        assert resumed[-1] == whole[-1]
        assert dict(whole).items() >= {s: v for s, v in resumed if s in dict(whole)}.items()


def test_the_curve_is_what_losses_jsonl_has(server, reference):
    rows = [json.loads(line) for line in (reference / "losses.jsonl").read_text().splitlines()]
    recorded = {row["iteration"]: row["loss"] for row in rows if row["split"] == "train"}
    assert set(recorded) == set(range(1, ITERATIONS + 1))
    for _, step, value in curve(server, tags(server, "scalars")["whole"][0], "loss/train"):
        assert value == pytest.approx(recorded[step], rel=1e-6)


def test_images_are_there(server):
    run, names = tags(server, "images")["whole"]
    assert {"pictures/reconstruction/train", "pictures/reconstruction/validation"} <= names
    (newest, *_) = json.loads(ask(server, "images/images", run=run, tag="pictures/reconstruction/validation"))
    picture = ask(server, f"images/individualImage?{newest['query']}")
    assert picture.startswith(b"\x89PNG")


def test_hyper_parameters_are_there(server):
    body = json.dumps({"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "sliceSize": 9})
    request = urllib.request.Request(
        f"{server}/data/plugin/hparams/session_groups", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        groups = json.loads(response.read())["sessionGroups"]
    assert groups[0]["hparams"]["model.latent_dim"] == 8


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's package chromium")
def test_a_browser_shows_the_scalars_page(server, tmp_path):
    assert len(tags(server, "scalars")) == 2
    shot = tmp_path / "scalars.png"
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1600", "--virtual-time-budget=30000"]
    subprocess.run(
        [*command, f"--screenshot={shot}", f"{server}/#scalars"], capture_output=True, timeout=120, check=True
    )
    pixels = Image.open(shot).convert("RGB")
    colours = {colour: count for count, colour in pixels.getcolors(1 << 24)}
    header = colours.get((245, 124, 0), 0)
    assert header > 10_000, "TensorBoard's header is not on the page"
    assert sum(colours.get(curve, 0) for curve in CURVES) > 300, "no curve is on the page"
    assert Path(shot).stat().st_size > 20_000
