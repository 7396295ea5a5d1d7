"""Components by name, and what they take, read without importing them."""

import pytest

from firebox.engine.components.catalogue import UnknownComponent, find


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
