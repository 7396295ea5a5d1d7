"""A user's own files: they import what lies beside them wherever Firebox is started, and all of them are known."""

import json
import pickle
import sys

import pytest
import yaml

from firebox.engine.components.catalogue import UnknownComponent, find
from firebox.engine.components.loading import CannotLoad, load_file
from firebox.engine.components.own_files import own_files
from firebox.engine.components.siblings import DEPENDENCIES
from firebox.engine.components.targets import Target
from firebox.foundation import own_modules
from firebox.foundation.package import ROOT
from tests.exactness import run_python
from tests.handlers.runs import CONTENT


@pytest.fixture(autouse=True)
def _nothing_stays():
    """Each test begins and ends without a user's modules, those of other tests included."""
    before, path, places = own(), list(sys.path), dict(own_modules._PLACES)
    for name in before:
        del sys.modules[name]
    own_modules._PLACES.clear()
    yield
    for name in own():
        del sys.modules[name]
    sys.modules |= before
    sys.path[:] = path
    own_modules._PLACES.clear()
    own_modules._PLACES |= places


def own():
    """The modules that are neither Python's nor installed nor of this checkout."""
    others = (sys.prefix, sys.base_prefix, str(ROOT))
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {name: sys.modules[name] for name, file in files.items() if file and not file.startswith(others)}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_files_beside_it_come_before_the_checkout_and_installed_packages(tmp_path, monkeypatch):
    write(
        tmp_path,
        {
            "part.py": "import data.things, engine.more, helpers\nfrom configs import VALUE\nfrom models import M\n"
            "class A:\n    seen = (data.things.X, engine.more.X, helpers.X, VALUE, M)\n"
            "    def late(self):\n        import handlers\n        return handlers.X\n",
            "data/things.py": "X = 'own data'\n",
            "engine/__init__.py": "",
            "engine/more.py": "from .inner import X\n",
            "engine/inner.py": "import helpers\nX = helpers.X + ' from engine'\n",
            "helpers.py": "X = 'own helpers'\n",
            "configs/__init__.py": "VALUE = 'own configs'\n",
            "models.py": "M = 'own models'\n",
            "handlers.py": "X = 'own handlers'\n",
        },
    )
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))  # the rooms are importable as `data`, `models`, ...: the worst case
    kind = Target(str(tmp_path / "part.py"), "A").load()
    assert kind.seen == ("own data", "own helpers from engine", "own helpers", "own configs", "own models")
    assert kind().late() == "own handlers"
    assert kind.__module__ == "part" and pickle.loads(pickle.dumps(kind)) is kind


def test_what_no_file_imports_shadows_nothing(tmp_path):
    write(
        tmp_path,
        {
            "part.py": "import statistics, yaml, torch\nclass A: seen = (statistics.__file__, yaml.__file__)\n",
            **{f"{name}.py": "raise RuntimeError('shadowed')\n" for name in ("statistics", "yaml", "torch", "firebox")},
            "wave.py": "raise RuntimeError('shadowed')\n",
        },
    )
    assert not any(str(tmp_path) in file for file in Target(str(tmp_path / "part.py"), "A").load().seen)
    import wave

    assert str(tmp_path) not in str(wave.__file__)


def test_what_firebox_imports_is_never_replaced():
    import ast

    names = set()
    for room in (place for place in ROOT.iterdir() if (ROOT / "firebox" / place.name).is_symlink()):
        for file in room.rglob("*.py"):
            if room.name != "benchmarks":
                for node in ast.walk(ast.parse(file.read_text())):
                    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                    modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                    names |= {module.partition(".")[0] for module in modules}
    assert names - sys.stdlib_module_names - {"firebox"} <= DEPENDENCIES


def test_a_file_may_have_the_name_of_an_installed_module_and_imports_relatively_in_its_package(tmp_path):
    write(
        tmp_path,
        {
            "types.py": "class A: ...\n",
            "my model-2.py": "class A: ...\n",
            "pack/__init__.py": "NAME = 'pack'\n",
            "pack/part.py": "from . import NAME\nfrom .more import X\nclass A: seen = (NAME, X)\n",
            "pack/more.py": "X = 1\n",
            "plain/part.py": "from .more import X\nclass A: seen = X\n",
            "plain/more.py": "X = 2\n",
        },
    )
    for name in ("types.py", "my model-2.py"):
        kind = Target(str(tmp_path / name), "A").load()
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert kind.__module__ not in sys.stdlib_module_names
    assert Target(str(tmp_path / "pack" / "part.py"), "A").load().seen == ("pack", 1)
    assert Target(str(tmp_path / "plain" / "part.py"), "A").load().seen == 2


def test_a_file_is_one_module_whether_it_is_named_or_imported(tmp_path):
    write(tmp_path, {"first.py": "class A: ...\n", "second.py": "from first import A\nclass B(A): ...\n"})
    first, second = (Target(str(tmp_path / name), "A").load() for name in ("first.py", "second.py"))
    assert first is second


def test_files_of_the_same_name_in_two_folders_are_two_modules(tmp_path):
    write(tmp_path, {"a/part.py": "class A: x = 1\n", "b/part.py": "class A: x = 2\n"})
    one, two = (Target(str(tmp_path / name / "part.py"), "A").load() for name in "ab")
    assert (one.x, two.x) == (1, 2)
    assert pickle.loads(pickle.dumps(two)) is two


def test_two_folders_whose_files_import_different_modules_of_one_name_are_refused(tmp_path):
    source = "import helpers\nclass A: x = helpers.X\n"
    write(
        tmp_path,
        {
            "a/one.py": source,
            "a/helpers.py": "X = 1\n",
            "b/two.py": source,
            "b/helpers.py": "X = 2\n",
            "copy/three.py": source,
            "copy/helpers.py": "X = 1\n",
        },
    )
    assert Target(str(tmp_path / "a/one.py"), "A").load().x == 1
    with pytest.raises(CannotLoad) as caught:
        Target(str(tmp_path / "b/two.py"), "A").load()
    message = str(caught.value)
    assert str(tmp_path / "a/helpers.py") in message and str(tmp_path / "b/helpers.py") in message
    assert "\n" not in message and "rename one" in message
    # An archive holds a copy of the files: the same code is no conflict.
    assert Target(str(tmp_path / "copy/three.py"), "A").load().x == 1


def test_a_module_that_fails_leaves_nothing_and_says_where(tmp_path):
    write(
        tmp_path,
        {
            "part.py": "import half\nclass A: x = half.X\n",
            "half.py": "import whole\n\nX = 1 / 0\n",
            "whole.py": "X = 1\n",
        },
    )
    before = set(sys.modules)
    with pytest.raises(CannotLoad) as caught:
        load_file(tmp_path / "part.py")
    assert str(caught.value) == f"{tmp_path / 'half.py'}:3: ZeroDivisionError: division by zero"
    assert set(sys.modules) == before
    write(tmp_path, {"half.py": "import whole\n\nX = whole.X + 10\n"})
    assert load_file(tmp_path / "part.py").A.x == 11


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"part.py": "x = 1\nimport absent\n"}, "part.py:2: ModuleNotFoundError: No module named 'absent'"),
        ({"part.py": "import half\n", "half.py": "x = 1\nclass A(:\n"}, "half.py:2: not valid Python"),
        ({"part.py": "raise SystemExit(3)\n"}, "part.py:1: SystemExit: 3"),
        ({"part.py": "import nothing_here.engine\n"}, "part.py:1: ModuleNotFoundError"),
        (
            {"part.py": "from engine.handler import Handler\n", "engine/other.py": ""},
            "part.py:1: ModuleNotFoundError: No module named 'engine",
        ),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(tmp_path, files, message):
    with pytest.raises(CannotLoad) as caught:
        load_file(write(tmp_path, files) / "part.py")
    assert str(caught.value).startswith(str(tmp_path))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_own_files_are_found_by_parsing_with_all_that_they_import(tmp_path):
    write(
        tmp_path,
        {
            "part.py": "import torch\nfrom firebox import Handler\nimport data.things as t\n"
            "def late():\n    from deep import a\nraise RuntimeError('imported')\n",
            "data/things.py": "import helpers\n",
            "helpers.py": "import part\n",
            "deep/__init__.py": "",
            "deep/a.py": "from .b import *\n",
            "deep/b.py": "from . import c\n",
            "deep/c.py": "",
            "deep/unused.py": "",
            "unused.py": "",
            "torch.py": "",
        },
    )
    found = own_files(Target(str(tmp_path / "part.py"), "A"))
    assert found[0] == tmp_path / "part.py"
    assert {str(file.relative_to(tmp_path)) for file in found} == {
        "part.py", "data/things.py", "helpers.py", "deep/__init__.py", "deep/a.py", "deep/b.py", "deep/c.py",
    }  # fmt: skip
    assert "deep" not in sys.modules


def test_what_is_installed_has_no_own_files(tmp_path, monkeypatch):
    assert own_files(find("model", "cae_baseline").target) == ()
    assert own_files(Target("torch.optim", "Adam")) == ()
    write(
        tmp_path,
        {"own_package/__init__.py": "", "own_package/part.py": "from . import more\n", "own_package/more.py": ""},
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = own_files(Target("own_package.part", "A"))
    assert {file.name for file in found} == {"part.py", "__init__.py", "more.py"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("models.cae_baseline:CAEBaseline", "firebox.models.cae_baseline:CAEBaseline"),
        ("engine.handler:Handler", "firebox:Handler"),
        ("engine.one_cycle:OneCycle", "firebox.handlers.schedules.one_cycle:OneCycle"),
        ("data:DataModule", "firebox:DataModule"),
    ],
)
@pytest.mark.parametrize("folder", ["checkout", "elsewhere"])
def test_a_name_of_before_everything_was_firebox_is_refused_with_the_name_of_now(
    tmp_path, monkeypatch, name, meant, folder
):
    if folder == "checkout":
        monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(UnknownComponent) as caught:
        find("model", name, tmp_path)
    assert f"did you mean {meant}?" in str(caught.value)
    find("model", meant)


def test_a_users_own_package_of_such_a_name_is_theirs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(write(tmp_path, {"models/mine.py": "class A: ...\n", "models/__init__.py": ""})))
    assert find("model", "models.mine:A", tmp_path).target.module == "models.mine"


PROJECT = {
    "my_parts.py": """
import multiprocessing
import helpers
from data.things import Squares
from models import Own
from firebox import DataModule, DatasetImages, Handler, ImageSpecification
{start}

class Data(DataModule):
    specification = ImageSpecification(shape=(1, 8, 8), classes=())
    split_lengths = {{"train": 40, "validation": 10}}
    def read(self, split):
        return DatasetImages(Squares(self.split_lengths[split]))

class Watch(Handler):
    def attach(self, run):
        run.every("1 epoch", self.act, self.phase)
    def act(self, run=None):
        import handlers
        print("late:", handlers.NAME, helpers.NAME, flush=True)
""",
    "data/things.py": """
import torch
from torch.utils.data import Dataset
import helpers
class Squares(Dataset):
    def __init__(self, length):
        self.length = length
    def __len__(self):
        return self.length
    def __getitem__(self, index):
        assert helpers.NAME == "own"
        return torch.full((1, 8, 8), index % 7, dtype=torch.uint8)
""",
    "models.py": """
from firebox.models.linear_autoencoder import LinearAutoencoder
class Own(LinearAutoencoder):
    def __init__(self, *, more: int = 1, **kwargs):
        super().__init__(**kwargs)
""",
    "helpers.py": 'NAME = "own"\n',
    "handlers.py": 'NAME = "own handlers"\n',
    "engine/__init__.py": "",
    "configs/__init__.py": "",
}


def project(folder, start=""):
    write(folder, {**PROJECT, "my_parts.py": PROJECT["my_parts.py"].format(start=start)})
    content = {key: value for key, value in CONTENT.items() if key != "datagenerator"}
    content |= {
        "datamodule": {"name": "my_parts.py:Data", "batch_size": 10, "workers": 1, "placement": "stream"},
        "model": {"name": "models.py:Own", "latent_dim": 4},
        "training": {"epochs": 1, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [{"my_parts.py:Watch": {}}, {"image_dump": False}, {"model_summary": False}],
    }
    (folder / "my.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    return folder


@pytest.mark.parametrize(
    ("command", "place", "method"),
    [
        (["-m", "firebox", "train", "cae_baseline"], "project", "fork"),
        ([str(ROOT / "trainers/train_cae_baseline.py")], "checkout", "forkserver"),
        ([str(ROOT / "trainers/train_cae_baseline.py")], "checkout", "spawn"),
    ],
)
def test_a_project_with_rooms_of_its_own_trains_from_anywhere_with_workers(tmp_path, command, place, method):
    start = f'multiprocessing.set_start_method("{method}", force=True)'
    folder = project(tmp_path / "project", start)
    places = {"project": folder, "checkout": ROOT}
    process = run_python(*command, str(folder / "my.yaml"), cwd=places[place])
    assert process.returncode == 0, process.stdout + process.stderr
    assert "late: own handlers own" in process.stdout
