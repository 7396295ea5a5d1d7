"""Components by name, and what they take, read without importing them."""

import subprocess
import sys

import pytest

from firebox.engine.components.catalogue import UnknownComponent, find
from firebox.engine.components.loading import CannotLoad, load_file


def written(folder, text):
    (folder / "part.py").write_text(text)
    return folder


def fields(component):
    return {name: field.default for name, field in component.signature.parameters.model_fields.items()}


def test_keyword_only_parameters_are_settings_and_the_others_are_given(tmp_path):
    source = '''
SIZE = 5
class A:
    """Does it.

    Args:
        size: how large,
            in pixels.
    """
    def __init__(self, model, specification, *, size: int = SIZE, rate: float = -1.5, sides: tuple[int, ...] = (1,)):
        raise RuntimeError("reading a signature runs nothing")
raise RuntimeError("not imported")
'''
    component = find("model", "part.py:A", written(tmp_path, source))
    assert component.signature.summary == "Does it."
    assert component.signature.injected == ("model", "specification")
    assert fields(component) == {"size": 5, "rate": -1.5, "sides": (1,)}
    assert component.signature.parameters.model_fields["size"].description == "how large, in pixels."
    assert component.short_name == "A"


def test_a_constructor_is_inherited(tmp_path):
    source = "class A:\n    def __init__(self, *, x: int = 1): ...\nclass B(A):\n    pass\n"
    assert fields(find("model", "part.py:B", written(tmp_path, source))) == {"x": 1}


def test_other_packages_classes_have_their_settings_where_a_default_is():
    component = find("optimizer", "torch.optim:Adagrad")
    assert component.signature.injected == ("params",)
    assert fields(component)["lr"] == 0.01


def test_what_can_only_be_given_by_position_is_no_setting(tmp_path):
    source = "class A:\n    def __init__(self, model, size=1, /, rate=2, *, x=3): ...\n"
    component = find("model", "part.py:A", written(tmp_path, source))
    assert component.signature.injected == ("model",)
    assert fields(component) == {"rate": 2, "x": 3}


def test_a_parameter_may_be_called_what_pydantic_calls_a_method(tmp_path):
    source = (
        "class A:\n    def __init__(self, *, copy: int = 1, schema: int = 2, json: int = 3, model_x: int = 4): ...\n"
    )
    assert fields(find("model", "part.py:A", written(tmp_path, source))) == {
        "copy": 1, "schema": 2, "json": 3, "model_x": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class A(:\n", "not valid Python"),
        ("class B: ...\n", "has no A"),
        ("A = 3\n", "not a callable object"),
        ("class A(A): ...\n", "can't read what it takes"),
        ("class A:\n    def __init__(self, *, x=len('a')): ...\n", "the default of x is len('a'), expected a literal"),
        ("class A:\n    def __init__(self, *, _x=1): ...\n", "leading underscore"),
        ("import absent\nA = absent.A\n", "No module named 'absent'"),
    ],
)
def test_a_file_without_a_readable_component_is_refused(tmp_path, source, problem):
    with pytest.raises(UnknownComponent, match=r"part\.py:A") as caught:
        find("model", "part.py:A", written(tmp_path, source))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        ":",
        "a:",
        ":A",
        "::",
        "..:A",
        ".x:A",
        "\0:A",
        "\0.py:A",
        "x" * 5000 + ".py:A",
        "a.b.c:D",
        "math:pi",
        "sys:x",
        "a.py:",
    ],
)
def test_a_name_that_leads_nowhere_is_unknown(tmp_path, name):
    with pytest.raises(UnknownComponent):
        find("model", name, tmp_path)


def test_a_relative_file_is_looked_for_beside_the_configuration_then_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "part.py").write_text("class A:\n    def __init__(self, *, x: int = 1): ...\n")
    assert fields(find("model", "part.py:A", tmp_path / "there")) == {"x": 1}
    (tmp_path / "there" / "part.py").write_text("class A:\n    def __init__(self, *, x: int = 2): ...\n")
    assert fields(find("model", "part.py:A", tmp_path / "there")) == {"x": 2}


HANDLER = """
    def attach(self, run): ...
"""


def found(folder, source, name="A", kind="handler", file="part.py"):
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(source)
    return find(kind, f"{file}:{name}", folder)


def in_a_process_of_its_own(code, folder):
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


@pytest.mark.parametrize(
    "source",
    [
        "from firebox import Handler, Interval\nclass A(Handler):\n    def __init__(self, *, every: Interval): ...\n",
        "import firebox\nclass A(firebox.Handler):\n    def __init__(self, *, every: firebox.Interval): ...\n",
        "import firebox as f\nclass A(f.Handler):\n    def __init__(self, *, every: 'f.Interval'): ...\n",
        "import firebox.foundation.intervals\nEvery = firebox.foundation.intervals.Interval\n"
        "class A:\n    def __init__(self, *, every: Every): ...\n",
    ],
)
def test_an_annotation_is_resolved_through_the_public_face_without_torch(tmp_path, source):
    from firebox.foundation.intervals import Interval

    field = found(tmp_path, source).signature.parameters.model_fields["every"]
    assert field.title == Interval.__metadata__[0].title
    code = (
        "import sys; from pathlib import Path; from firebox.engine.components.catalogue import find; "
        "find('handler', 'part.py:A', Path()); print({'torch', 'ignite', 'numpy'} & sys.modules.keys())"
    )
    assert in_a_process_of_its_own(code, tmp_path) == "set()"


def test_a_component_of_the_public_face_is_found_by_its_name_there():
    component = find("handler", "firebox:Experiment")
    assert component.signature.injected or component.signature.parameters.model_fields


def test_the_fields_of_a_dataclass_are_settings_with_those_of_its_bases(tmp_path):
    source = '''
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import ClassVar
from firebox import Handler, Interval

@dataclass(kw_only=True)
class Base(Handler):
    """Base.

    Args:
        every: how often.
    """
    every: Interval = "1 epoch"
    count: int = 3
    def attach(self, run): ...

@dataclass(kw_only=True)
class A(Base):
    """Derived."""
    watches: ClassVar[str] = "monitor"
    count: int = 4
    names: list[str] = field(default_factory=list)
    sides: tuple[int, ...] = field(default=(1, 2))
    extra: InitVar[int] = 5
    held: int = field(init=False, default=0)
    needed: float

@dataclass
class Mixed:
    model: object
    rate: float = 0.5
    _: KW_ONLY
    size: int = 1
'''
    component = found(tmp_path, source)
    values = fields(component)
    needed = values.pop("needed")
    assert repr(needed) == "PydanticUndefined"
    assert values == {"every": "1 epoch", "count": 4, "names": [], "sides": (1, 2), "extra": 5}
    assert component.signature.parameters.model_fields["every"].description == "how often."
    assert component.signature.attributes["watches"] == "monitor"
    component = found(tmp_path, source, "Mixed")
    assert component.signature.injected == ("model",)
    assert fields(component) == {"rate": 0.5, "size": 1}
    # The thing itself agrees with what its source says.
    import inspect

    assert list(inspect.signature(find("handler", "part.py:A", tmp_path).target.load()).parameters) == [
        "every", "count", "names", "sides", "extra", "needed",
    ]  # fmt: skip


def test_a_base_is_found_by_attribute_in_siblings_and_relative_modules(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "bases.py").write_text(
        "SIZE = 6\nclass Base:\n    def __init__(self, *, x: int = SIZE): ...\n"
    )
    (tmp_path / "parts" / "again.py").write_text("from .bases import Base as Again\n")
    siblings = {
        "import parts.bases\nclass A(parts.bases.Base): ...\n": {"x": 6},
        "import parts.bases as b\nclass A(b.Base): ...\n": {"x": 6},
        "from parts import bases\nclass A(bases.Base): ...\n": {"x": 6},
        "from parts.again import Again\nclass A(Again): ...\n": {"x": 6},
        "from parts import bases\nclass A:\n    def __init__(self, *, y: int = bases.SIZE): ...\n": {"y": 6},
    }
    for number, (source, expected) in enumerate(siblings.items()):
        assert fields(found(tmp_path, source, file=f"part_{number}.py")) == expected, source
    relative = "from . import bases\nfrom .bases import Base\nclass A(Base): ...\nclass B(bases.Base): ...\n"
    assert fields(found(tmp_path, relative, file="parts/mine.py")) == {"x": 6}
    assert fields(found(tmp_path, relative, "B", file="parts/mine.py")) == {"x": 6}


def test_what_keyword_arguments_pass_on_to_a_base_are_settings_too(tmp_path):
    source = """
from firebox.handlers.checkpoint import Checkpoint
class Base:
    def __init__(self, model, *, size: int = 1, rate: float = 0.5, fixed: int = 2): ...
class A(Base):
    def __init__(self, *, own: int = 7, rate: float = 0.25, **kwargs):
        super().__init__(fixed=3, rate=rate, **kwargs)
class B(Base):
    def __init__(self, *args, own: int = 7, **options):
        Base.__init__(self, *args, **options)
class C(Base):
    def __init__(self, model, **kwargs):
        super().__init__(model, **kwargs)
class D(Checkpoint):
    def __init__(self, *, own: int = 7, **kwargs):
        super().__init__(**kwargs)
class E(Base):
    def __init__(self, *, own: int = 7, **kwargs):
        print(kwargs)
"""
    component = found(tmp_path, source)
    assert fields(component) == {"own": 7, "rate": 0.25, "size": 1}
    assert component.signature.injected == ("model",)
    component = found(tmp_path, source, "B")
    assert component.signature.injected == ("model",)
    assert fields(component) == {"own": 7, "size": 1, "rate": 0.5, "fixed": 2}
    component = found(tmp_path, source, "C")
    assert component.signature.injected == ("model",)
    assert fields(component) == {"size": 1, "rate": 0.5, "fixed": 2}
    assert fields(found(tmp_path, source, "D")) == {**fields(find("handler", "checkpoint")), "own": 7}
    assert fields(found(tmp_path, source, "E")) == {"own": 7}, "what is passed to no base is no setting"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import functools\ndef f(*, x: int = 1, y: int = 2): ...\nA = functools.partial(f, y=3)\n", {"x": 1, "y": 3}),
        ("from typing import NamedTuple\nclass A(NamedTuple):\n    x: int = 1\n", {"x": 1}),
        ("class Parent:\n    def __init__(self, *, x=1): ...\nA = type('A', (Parent,), {})\n", {"x": 1}),
        (
            "import torch\nclass A(torch.optim.SGD):\n    def __init__(self, params, *, own=1, **kwargs):\n"
            "        super().__init__(params, **kwargs)\n",
            {"own": 1, "lr": 0.001, "momentum": 0, "nesterov": False},
        ),
    ],
)
def test_where_the_source_does_not_tell_the_thing_itself_does(tmp_path, source, expected):
    assert expected.items() <= fields(found(tmp_path, source)).items()


def test_a_default_may_be_arithmetic_or_a_constant_from_elsewhere(tmp_path):
    (tmp_path / "constants.py").write_text("SIZE = 4\nclass Limits:\n    most = 2 * SIZE\n")
    source = """
import constants
from constants import SIZE, Limits
HALF = SIZE / 2
class A:
    def __init__(self, *, a=2 * 1024, b=constants.SIZE, c=Limits.most, d=(SIZE, -SIZE), e=HALF, f=None): ...
"""
    assert fields(found(tmp_path, source)) == {"a": 2048, "b": 4, "c": 8, "d": (4, -4), "e": 2.0, "f": None}


def test_attributes_of_a_class_are_read_with_those_it_inherits(tmp_path):
    (tmp_path / "bases.py").write_text(
        "from firebox import Handler\nclass Base(Handler):\n    watches = 'monitor'\n    kept = (1, 2)\n    gone = 3\n"
    )
    source = """
import torch
import bases
from firebox import Handler, Phase
raise RuntimeError("not imported")
class A(bases.Base, torch.nn.Module):
    phase = Phase.LOG
    kept = (*range(3),)
    own: int = -1
    def gone(self): ...
class B(Handler):
    writes = ("images",)
"""
    attributes = found(tmp_path, source).signature.attributes
    assert {"watches": "monitor", "own": -1, "writes": ()}.items() <= attributes.items()
    assert not attributes.keys() & {"phase", "kept", "gone"}
    assert found(tmp_path, source, "B").signature.attributes["writes"] == ("images",)
    assert find("handler", "checkpoint").signature.attributes.keys() >= {"writes"}
    assert find("optimizer", "adam").signature.attributes == {}


def test_an_annotation_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = """
class A:
    def __init__(self, *, x: __import__("pathlib").Path("ran").touch() = 1, y: "open('ran', 'w')" = 2): ...
"""
    found(tmp_path, source)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_a_module_lacks_is_refused_without_importing_it(tmp_path):
    with pytest.raises(UnknownComponent, match=r"cae_baseline has no CAEBaselin"):
        find("model", "firebox.models.cae_baseline:CAEBaselin")
    with pytest.raises(UnknownComponent, match=r"has no B"):
        found(tmp_path, "raise RuntimeError('imported')\nclass A: ...\n", "B")


def test_a_name_close_to_one_that_a_module_has_is_asked_about(tmp_path):
    with pytest.raises(UnknownComponent, match=r"has no Halvng; did you mean Halving\?$"):
        found(tmp_path, "class Halving: ...\nclass Other: ...\n", "Halvng")
    with pytest.raises(UnknownComponent, match=r"torch\.optim has no RMSpropp; did you mean RMSprop\?$"):
        find("optimizer", "torch.optim:RMSpropp")
    with pytest.raises(UnknownComponent, match=r"has no Nothing$"):
        found(tmp_path, "class Halving: ...\n", "Nothing")


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("from firebox import Handlr\n", "; did you mean Handler?"),
        ("import firebox\nbase = firebox.Handlr\n", "; did you mean Handler?"),
        ("from firebox import Qwxyz\n", "; firebox/__init__.pyi lists what there is"),
        ("from json import Handlr\n", ""),
    ],
)
def test_a_name_that_the_public_face_lacks_is_refused_with_the_closest_it_has(tmp_path, source, hint):
    (tmp_path / "asks.py").write_text(f"{source}class A: ...\n")
    with pytest.raises(CannotLoad) as caught:
        load_file(tmp_path / "asks.py")
    assert ("did you mean" in str(caught.value) or "lists what" in str(caught.value)) == bool(hint)
    assert str(caught.value).endswith(hint)
