"""A component that is none of its family is refused where it is named, before anything of it is used."""

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

OWN = """
import torch
from firebox import Handler

class Other:
    def __init__(self, *given, **more): ...

class Unfinished(Handler): ...

class Quiet(Handler):
    def attach(self, run): ...

def other(parameters): return 3

def rmsprop(parameters): return torch.optim.RMSprop(parameters)
"""
BASES = {
    "datamodule": "firebox.DataModule",
    "model": "torch.nn.Module",
    "module": "firebox.Module",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "firebox.Schedule",
}


def configuration(folder, text):
    (folder / "own.py").write_text(OWN)
    (folder / "x.yaml").write_text(f"training: {{device: cpu}}\n{text}\n")
    return read(TRAINER.name, TRAINER.default, folder / "x.yaml")


def refused(folder, text, act):
    given = configuration(folder, text)
    with pytest.raises(Refusal) as caught:
        act(given)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def check(given):
    preflight(given, TRAINER)


@pytest.mark.parametrize("act", [check, build])
@pytest.mark.parametrize("section", BASES)
def test_a_class_of_another_family_is_refused_with_the_class_to_derive_from(tmp_path, section, act):
    place = f"x.yaml:2:{len(section) + 10}"
    expected = f"{place}  {section}: got Other, expected a class derived from {BASES[section]}"
    assert refused(tmp_path, f"{section}: {{name: 'own.py:Other'}}", act) == [expected]


def test_every_handler_that_is_none_is_refused_at_once(tmp_path):
    assert refused(tmp_path, "handlers:\n  - own.py:Other\n  - own.py:Unfinished", check) == [
        "x.yaml:3:5  handlers.own.py:Other: got Other, expected a class derived from firebox.Handler",
        "x.yaml:4:5  handlers.own.py:Unfinished: Unfinished does not define attach; "
        "expected every method that firebox.Handler leaves to it",
    ]


def test_what_a_function_returns_is_held_to_its_family(tmp_path):
    (problem,) = refused(tmp_path, "optimizer: {name: 'own.py:other'}", build)
    assert problem == "x.yaml:2:19  optimizer: got int, expected a class derived from torch.optim.Optimizer"


def test_what_belongs_to_its_family_is_let_through(tmp_path):
    check(configuration(tmp_path, "optimizer: {name: 'own.py:rmsprop'}\nhandlers: ['own.py:Quiet']"))
