"""Runs on several hosts, and kills without end: what takes long. `make soak` runs it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.exactness import SCRIPT, Forked, differences, only_run, output, write_configuration
from tests.soaking import SOAK, soak
from tests.test_stopping import status
from tests.worlds import SMALL, Launcher, codes, scalars

KILLS = 50
LONGER = {**SMALL, "training": {**SMALL["training"], "epochs": 6}}
HOSTS = ("firebox-one", "firebox-two")


def can_make_hosts():
    """Whether this machine lets these tests make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"firebox-try-{os.getpid()}"
    made = ip("netns", "add", name).returncode == 0
    ip("netns", "del", name)
    return made


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    configuration = write_configuration(folder, LONGER)
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    return only_run(folder)


def all_differences(reference, run):
    """Returns what differs, apart from which checkpoints a run that was killed has kept."""
    found = differences(reference, run)
    return [name for name in found if not name.startswith("checkpoints:")]


def codes_as_torchrun_leaves_them(world):
    """Waits for all processes as torchrun's agent does, which tells the others to end when one has failed."""
    while any(process.poll() is None for process in world):
        if any(process.poll() for process in world):
            time.sleep(1)
            for process in world:
                if process.poll() is None:
                    os.kill(process.pid, signal.SIGTERM)
            break
        time.sleep(0.05)
    return codes(world)


def before_the_end(values):
    """Returns TensorBoard's values but those of the last iteration: of a run that is killed between its last checkpoint
    and its end, the last training loss is missing there, or the test metrics are there twice."""
    end = max(step for events in values.values() for step, _ in events)
    return {tag: [event for event in events if event[0] < end] for tag, events in values.items()}


@soak
def test_random_kills_of_random_processes_of_random_worlds_leave_no_trace(alone, tmp_path):
    draw, kills = random.Random(13), 0
    while kills < KILLS:
        folder = tmp_path / "run"
        configuration = write_configuration(folder, LONGER)
        for _ in range(draw.randint(1, 4)):
            size, resume = draw.choice([1, 2, 4]), []
            if any((folder / "runs").glob("*/*/*/config.yaml")):
                resume = ["--resume"]
            world = Launcher().start(size, str(configuration), *resume)
            log = None
            while log is None and any(process.poll() is None for process in world):
                log = next(iter((folder / "runs").glob("*/*/*/log.txt")), None)
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 4))
            victim = draw.choice(world)
            if victim.poll() is None:
                os.kill(victim.pid, draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
                kills += 1
            ended = codes_as_torchrun_leaves_them(world)
            expected = (0, 1, 143, -signal.SIGKILL, -signal.SIGTERM)
            assert all(code in expected for code in ended), (ended, output(configuration))
        resume = ["--resume"] if any((folder / "runs").glob("*/*/*/config.yaml")) else []
        assert codes(Launcher().start(draw.choice([1, 2, 4]), str(configuration), *resume)) in ([0], [0] * 2, [0] * 4)
        run = only_run(folder)
        assert all_differences(alone, run) == [], f"after {kills} kills"
        assert before_the_end(scalars(alone)) == before_the_end(scalars(run)), f"after {kills} kills"
        shutil.rmtree(folder)
    print(f"{kills} kills, nothing differs")


@contextmanager
def two_hosts():
    """Two network namespaces that see each other by a pair of virtual cables, and nothing else but their loopbacks."""
    for number, host in enumerate(HOSTS):
        ip("netns", "del", host)
        assert ip("netns", "add", host).returncode == 0
        ip("link", "add", f"fb{number}", "type", "veth", "peer", "name", f"fbp{number}") if number == 0 else None
    ip("link", "set", "fb0", "netns", HOSTS[0])
    ip("link", "set", "fbp0", "netns", HOSTS[1])
    for host, cable, address in zip(HOSTS, ("fb0", "fbp0"), ("10.77.0.1", "10.77.0.2"), strict=True):
        within(host, "ip", "address", "add", f"{address}/24", "dev", cable).wait()
        within(host, "ip", "link", "set", cable, "up").wait()
        within(host, "ip", "link", "set", "lo", "up").wait()
    try:
        yield
    finally:
        for host in HOSTS:
            ip("netns", "del", host)


def within(host, *command, **named):
    return subprocess.Popen(["ip", "netns", "exec", host, *command], **named)


def on_both_hosts(configuration, *options):
    """Starts torchrun on both hosts; a process on each."""
    agents = []
    for number, host in enumerate(HOSTS):
        with (configuration.parent / f"output_{number}.txt").open("a") as file:
            agent = within(
                host, sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
                "--rdzv-id=hosts", "--rdzv-backend=c10d", "--rdzv-endpoint=10.77.0.1:29577",
                f"--local-addr=10.77.0.{number + 1}", f"--rdzv-conf=is_host={1 - number}",
                str(SCRIPT), str(configuration), *options,
                stdout=file, stderr=file, start_new_session=True,
                env={**os.environ, "GLOO_SOCKET_IFNAME": ("fb0", "fbp0")[number], "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        agents.append(agent)
    return agents


@soak
@pytest.mark.skipif(not SOAK or not can_make_hosts(), reason="needs network namespaces: root, and the package iproute2")
def test_two_hosts_equal_one_process_and_one_that_is_cut_off_ends_with_a_clear_word(alone, tmp_path):
    with two_hosts():
        configuration = write_configuration(tmp_path / "whole", LONGER)
        assert [agent.wait(300) for agent in on_both_hosts(configuration)] == [0, 0]
        assert all_differences(alone, only_run(tmp_path / "whole")) == []

        configuration = write_configuration(
            tmp_path / "cut", {**LONGER, "datamodule": {**LONGER["datamodule"], "timeout": 5.0}}
        )
        script = tmp_path / "patient.py"
        script.write_text(
            "import sys\nfrom firebox.engine.launch import together\ntogether.STOP_SECONDS = 5.0\n"
            "from firebox.engine.commands.command_line import train_script\n"
            "from firebox.trainers.train_cae_baseline import TRAINER\nsys.exit(train_script(TRAINER, sys.argv[1:]))\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules[__name__], "SCRIPT", script)
            agents = on_both_hosts(configuration)
        losses = []
        while not losses or len(losses[0].read_text().splitlines()) < 8:
            losses = list((tmp_path / "cut" / "runs").glob("*/*/*/losses.jsonl"))
            assert agents[0].poll() is None, (tmp_path / "cut" / "output_0.txt").read_text()
            time.sleep(0.1)
        within(HOSTS[1], "ip", "link", "set", "fbp0", "down").wait()
        assert agents[0].wait(240) == 1
        for agent in agents:
            os.killpg(agent.pid, signal.SIGKILL) if agent.poll() is None else None
            agent.wait()
        run = only_run(tmp_path / "cut")
        deadline = time.monotonic() + 60
        while status(run)["status"] == "running" and time.monotonic() < deadline:
            time.sleep(0.5)
        assert status(run)["status"] == "failed"
        assert "rank 1 (process " in status(run)["reason"]
        assert "has not answered within 10 s" in status(run)["reason"]
    assert Forked(str(configuration), "--resume").wait() == 0, output(configuration)
    found = [name for name in all_differences(alone, run) if name != "config.yaml"]
    assert found == []
    assert Path(run).name == "version_0"
