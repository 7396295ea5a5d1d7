"""Settings that name components themselves: read, refused with their place, and written so that they are read again."""

import json

import jsonschema
import pytest
import yaml

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import plain, read
from firebox.engine.configuration.identity import digest_of
from firebox.engine.configuration.nodes import parse
from firebox.engine.configuration.schema import schema
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

OWN = """
from pydantic import PositiveFloat
class Charbonnier:
    def __init__(self, *, epsilon: PositiveFloat = 0.001): ...
raise RuntimeError("reading a configuration runs nothing")
"""
HINT = "or package.module:Class or path/to/file.py:Class"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def configuration(folder, loss):
    path = folder / "x.yaml"
    path.write_text(f"module:\n  name: reconstruction\n  loss: {loss}\n")
    return read(TRAINER.name, TRAINER.default, path)


@pytest.mark.parametrize(
    ("loss", "written"),
    [
        ("bce", "bce"),
        ("{name: bce}", "bce"),
        ("own.py:Charbonnier", {"name": "OWN:Charbonnier", "epsilon": 0.001}),
        ("{name: own.py:Charbonnier}", {"name": "OWN:Charbonnier", "epsilon": 0.001}),
        ("{name: 'own.py:Charbonnier', epsilon: 0.5}", {"name": "OWN:Charbonnier", "epsilon": 0.5}),
        ("firebox.modules.losses:Gaussian", "firebox.modules.losses:Gaussian"),
    ],
)
def test_a_part_is_read_by_name_or_with_its_settings_and_written_as_it_is_read(folder, loss, written):
    read_ = configuration(folder, loss)
    found = plain(read_)["module"]["loss"]
    expected = json.loads(json.dumps(written).replace("OWN", str((folder / "own.py").resolve())))
    assert found == expected
    assert read_.module.parts["loss"].component.kind == "loss"
    resolved = folder / "config.yaml"
    resolved.write_text(yaml.safe_dump(plain(read_)))
    again = read(TRAINER.name, TRAINER.default, resolved)
    assert plain(again) == plain(read_)
    assert digest_of(again) == digest_of(read_)
    jsonschema.Draft202012Validator(schema()).validate(plain(again))


def test_a_default_is_a_part_too(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("module: {name: reconstruction}\n")
    read_ = read(TRAINER.name, TRAINER.default, path)
    assert read_.module.parts["loss"].name == "mse"
    assert plain(read_)["module"]["loss"] == "mse"


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        ("mes", f'3:9  module.loss: got "mes", expected one of mse, bce or l1 (did you mean mse?), {HINT}'),
        ("gaussian", f'3:9  module.loss: got "gaussian", expected one of mse, bce or l1, {HINT}'),
        ("3", "3:9  module.loss: got 3, expected one of mse, bce or l1"),
        ("null", "3:9  module.loss: got None, expected one of mse, bce or l1"),
        ("[mse]", "3:9  module.loss: got ['mse'], expected one of mse, bce or l1"),
        ("{}", "3:3  module.loss.name: missing; expected the name of a loss"),
        ("{epsilon: 0.1}", "3:3  module.loss.name: missing; expected the name of a loss"),
        ("{name: mes}", '3:16  module.loss.name: got "mes", expected one of mse, bce or l1'),
        ("{name: {name: mse}}", "3:16  module.loss.name: got {'name': 'mse'}, expected one of"),
        ("{name: mse, epsilon: 0.1}", "3:21  module.loss.epsilon: unknown key; expected one of: name"),
        ("{name: 'own.py:Charbonnier', epsilom: 0.1}", "3:38  module.loss.epsilom: unknown key; did you mean epsilon?"),
        ("{name: 'own.py:Charbonnier', epsilon: -1}", "3:47  module.loss.epsilon: got -1, expected a positive"),
        ("{name: 'absent.py:Charbonnier'}", '3:16  module.loss.name: got "absent.py:Charbonnier": no such file: '),
        ("absent.py:Charbonnier", '3:9  module.loss: got "absent.py:Charbonnier": no such file: '),
        ("own.py:Absent", "3:9  own.py has no Absent"),
    ],
)
def test_a_mistake_in_a_part_is_shown_with_its_place(folder, loss, problem):
    with pytest.raises(Refusal) as caught:
        configuration(folder, loss)
    (found,) = caught.value.problems
    place, _, text = problem.partition("  ")
    assert str(found).startswith(f"{folder}/x.yaml:{place}  ")
    assert text in str(found)


def test_mistakes_in_a_part_do_not_hide_those_beside_it(folder):
    with pytest.raises(Refusal) as caught:
        configuration(folder, "{name: mse, a: 1}\n  other: 3")
    assert [problem.key for problem in caught.value.problems] == ["module.loss.a", "module.other"]


def test_a_setting_of_a_part_is_set_on_the_command_line(folder):
    path = folder / "x.yaml"
    path.write_text("module: {name: reconstruction, loss: {name: 'own.py:Charbonnier'}}\n")
    read_ = read(TRAINER.name, TRAINER.default, path, ["module.loss.epsilon=0.25"])
    assert read_.module.parts["loss"].parameters == {"epsilon": 0.25}


def test_the_origin_of_a_part_is_shown(folder, capsys):
    path = folder / "x.yaml"
    path.write_text("trainer: cae_baseline\nmodule: {name: reconstruction, loss: own.py:Charbonnier}\n")
    assert main(["config", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("name: ") and line.endswith(f"own.py:Charbonnier # {path}:2:38") for line in lines)
    assert "epsilon: 0.001 # default" in lines


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("module: {name: reconstruction, loss: l1}", True),
        ("module: {name: reconstruction, loss: {name: l1}}", True),
        ("module: {name: reconstruction, loss: {name: 'a.py:B', anything: 3}}", True),
        ("module: {name: reconstruction, loss: 'a.py:B'}", True),
        ("module: {name: reconstruction, loss: gaussian}", False),
        ("module: {name: variational, loss: gaussian}", True),
        ("module: {name: reconstruction, loss: {name: gaussian}}", False),
        ("module: {name: reconstruction, loss: {name: l1, anything: 3}}", False),
        ("module: {name: reconstruction, loss: {anything: 3}}", False),
        ("module: {name: reconstruction, loss: null}", False),
    ],
)
def test_the_schema_is_of_one_mind_with_the_reader(text, fits):
    assert jsonschema.Draft202012Validator(schema()).is_valid(parse(text, "x").plain()) is fits


@pytest.mark.parametrize("first_line", ["from firebox import Part", "from firebox.engine.components.part import Part"])
def test_a_setting_of_an_own_component_may_name_a_component(folder, first_line):
    (folder / "modules.py").write_text(
        f"from typing import Annotated, Any\n{first_line}\nclass Own:\n"
        '    def __init__(self, model, specification, *, critic: Annotated[Any, Part("loss")] = "l1",\n'
        '        extra: Annotated[Any, Part("loss")] = None): ...\n'
    )
    path = folder / "x.yaml"
    path.write_text("module: {name: 'modules.py:Own', critic: gaussian}\n")
    module = read(TRAINER.name, TRAINER.default, path).module
    assert (module.parts["critic"].name, module.parameters["extra"]) == ("gaussian", None)
    path.write_text("module: {name: 'modules.py:Own', critic: l3, extra: own.py:Charbonnier}\n")
    with pytest.raises(Refusal) as caught:
        read(TRAINER.name, TRAINER.default, path)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f'{path}:1:42  module.critic: got "l3", expected one of mse, l1, bce or gaussian')
