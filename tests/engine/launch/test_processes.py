"""A process that a launcher starts as one of several trains nothing."""

import os
import subprocess
import sys

import pytest

from firebox.engine.launch import processes
from firebox.engine.launch.admission import Request
from firebox.engine.launch.launch import launch
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import configured

SEVERAL = [
    {"WORLD_SIZE": "2", "RANK": "{}"},
    {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "{}"},
    {"PMI_SIZE": "2", "PMI_RANK": "{}"},
    {"SLURM_NTASKS": "2", "SLURM_PROCID": "{}", "SLURM_STEP_ID": "0"},
    {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "{}", "SLURM_STEP_ID": "0"},
]
ONE = [
    {},
    {"WORLD_SIZE": "1", "RANK": "0"},
    {"WORLD_SIZE": "many"},
    {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
    {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"},
]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for variable in {name for variables in SEVERAL for name in variables}:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("variables", SEVERAL, ids=lambda variables: "+".join(variables))
def test_several_processes_are_refused_and_it_is_said_once(monkeypatch, variables):
    problems = []
    for rank in range(2):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(rank))
        with pytest.raises(Refusal) as caught:
            processes.refuse_several()
        problems.append(caught.value.problems)
    assert "is 2, but training in several processes is not supported" in str(problems[0][0])
    assert "expected one process" in str(problems[0][0])
    assert problems[1] == ()


@pytest.mark.parametrize("variables", ONE, ids=lambda variables: "+".join(variables) or "none")
def test_one_process_is_not_refused(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processes.refuse_several()


def test_torchrun_with_two_processes_leaves_nothing_and_speaks_once(tmp_path):
    configured(tmp_path, {})
    script = "from firebox.engine.commands.command_line import train_script; import sys\n"
    script += "from firebox.trainers.train_cae_baseline import TRAINER\n"
    script += "sys.exit(train_script(TRAINER, sys.argv[1:]))"
    ranks = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "configuration.yaml")],
            capture_output=True, text=True, check=False, env={**os.environ, "WORLD_SIZE": "2", "RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    assert [done.returncode for done in ranks] == [REFUSED, REFUSED]
    assert "WORLD_SIZE is 2" in ranks[0].stderr
    assert [ranks[0].stdout, ranks[1].stdout, ranks[1].stderr] == ["", "", ""]
    assert not (tmp_path / "runs").exists()


def test_the_same_configuration_trains_where_there_is_one_process(tmp_path):
    configured(tmp_path, {}, training={"epochs": 1})
    assert launch(Request(TRAINER, tmp_path / "configuration.yaml", quiet=True)) == COMPLETED
