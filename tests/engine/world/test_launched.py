"""What a process is told by its launcher: one of several that train together, or one that trains alone."""

import pytest

from firebox.engine.launch.admission import Request
from firebox.engine.launch.launch import launch
from firebox.engine.world.launched import Launched, launched
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import configured

TORCHRUN = {
    "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "here",
    "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True",
}  # fmt: skip
SEVERAL = [
    {"WORLD_SIZE": "2", "RANK": "{}"},
    {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "{}"},
    {"PMI_SIZE": "2", "PMI_RANK": "{}"},
    {"SLURM_NTASKS": "2", "SLURM_PROCID": "{}", "SLURM_STEP_ID": "0"},
    {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "{}", "SLURM_STEP_ID": "0"},
    {"WORLD_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "{}", "SLURM_STEP_ID": "0"},
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
    for variable in {name for variables in (*SEVERAL, TORCHRUN) for name in variables}:
        monkeypatch.delenv(variable, raising=False)


def test_torchrun_says_who_a_process_is_and_where_the_others_are(monkeypatch):
    for name, value in {**TORCHRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launched(3, 4, 1, 2, "here", 29500, by_agent=True)


def test_a_single_process_of_torchruns_knows_the_store_that_outlives_it(monkeypatch):
    for name, value in {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launched(0, 1, 0, 1, "here", 29500, by_agent=True)


@pytest.mark.parametrize("variables", SEVERAL, ids=lambda variables: "+".join(variables))
def test_several_processes_that_do_not_know_of_each_other_are_refused_and_it_is_said_once(monkeypatch, variables):
    problems = []
    for rank in range(2):
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(rank))
        with pytest.raises(Refusal) as caught:
            launched()
        problems.append(caught.value.problems)
    assert "is 2, but " in str(problems[0][0])
    assert "expected torchrun, such as: torchrun --nproc-per-node 2" in str(problems[0][0])
    assert problems[1] == ()


@pytest.mark.parametrize("variables", ONE, ids=lambda variables: "+".join(variables) or "none")
def test_one_process_is_alone(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() is None


def test_several_that_do_not_know_of_each_other_leave_nothing(tmp_path, monkeypatch, capfd):
    configured(tmp_path, {}, training={"epochs": 1})
    request = Request(TRAINER, tmp_path / "configuration.yaml", quiet=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        assert launch(request) == REFUSED
        said.append(capfd.readouterr())
    assert "WORLD_SIZE is 2" in said[0].err
    assert said[1] == ("", "")
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch(request) == COMPLETED
