"""Folders on floors: imports run down only, no circles, small files, and documents that show where things are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.exactness import run_python

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).parent / "lint-imports"
TABLE = re.compile(r"^\| an? [a-z ]+ \|.*\|$", re.MULTILINE)


def folders():
    return sorted(link.name for link in (ROOT / "firebox").iterdir() if link.is_symlink() and link.name != "configs")


def lint(root):
    """Holds a tree to the contracts; returns the exit code and what was said."""
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """A copy of the code, links and contracts included."""
    ignored = shutil.ignore_patterns("__pycache__", "assets", "*.png")
    for name in ("firebox", *folders()):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_run_down_only_and_in_no_circle():
    code, said = lint(ROOT)
    assert code == 0, said
    assert "0 broken" in said


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("foundation/files.py", "import firebox.engine.training.run", "from floor to floor"),
        ("models/cae_baseline.py", "from firebox.data.sources.batch import Batch", "from floor to floor"),
        ("modules/losses_of_mine.py", "from firebox.handlers.checkpoint import Checkpoint", "from floor to floor"),
        ("engine/components/catalogue.py", "from firebox.engine.training.run import Run", "inside the engine"),
        ("handlers/checkpoint.py", "from firebox import Handler", "public face"),
    ],
)
def test_an_import_that_does_not_run_down_is_refused(copy, file, line, broken):
    with (copy / file).open("a") as text:
        text.write(f"\n{line}\n")
    code, said = lint(copy)
    assert code != 0
    assert re.search(rf"{broken}.* BROKEN", said), said


def test_two_files_that_import_each_other_are_refused_even_inside_a_function(copy):
    (copy / "foundation/one.py").write_text("from firebox.foundation import other\n")
    (copy / "foundation/other.py").write_text("def later():\n    import firebox.foundation.one\n")
    code, said = lint(copy)
    assert code != 0
    assert re.search(r"in a circle.* BROKEN", said), said

    (copy / "foundation/other.py").write_text("")
    assert lint(copy)[0] == 0, "the copy is as good as the original"


def test_no_file_is_longer_than_300_lines():
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for folder in (*folders(), "docs")
        for file in (ROOT / folder).rglob("*.py")
    }
    assert len(lengths) > 100
    assert {file: length for file, length in lengths.items() if length > 300} == {}


def test_each_folder_says_what_lives_there_what_it_imports_and_where_to_add_to_it():
    packages = [file for folder in folders() for file in (ROOT / folder).rglob("__init__.py")]
    assert len(packages) > 15
    for file in packages:
        says = re.match(r'"""(.*?)"""', file.read_text(), re.DOTALL)
        assert says, file
        assert re.search(r"[Ii]mports? ", says[1]), file
        assert file.parent == ROOT / "engine" or re.search(r"\b[Aa]dd ", says[1]), file


def test_the_floors_are_drawn_from_the_code_with_the_same_bytes_each_time(tmp_path):
    # One of the two is a fork of this process, which is another one with other hashes.
    subprocess.run([sys.executable, ROOT / "docs/make_floors.py", tmp_path / "one.png"], check=True)
    assert run_python(ROOT / "docs/make_floors.py", tmp_path / "two.png").returncode == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == 1200


def test_the_table_of_what_to_add_names_files_and_catalogues_that_are_there():
    rows = [row.strip("|").split("|") for row in TABLE.findall((ROOT / "docs/design.md").read_text())]
    assert len(rows) >= 13
    for _, place, catalogue, example in rows:
        for path in re.findall(r"`([a-z_/]+(?:/|\.py))`", f"{place} {catalogue} {example}"):
            assert (ROOT / path).exists(), path
        for name, file in re.findall(r"`([A-Z]+)` in `([a-z_/]+\.py)`", catalogue):
            assert re.search(rf"^{name}\b", (ROOT / file).read_text(), re.MULTILINE), (name, file)


def test_the_files_that_documents_name_are_there():
    for document in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for path in re.findall(rf"(?<![\w/])((?:{'|'.join(folders())})/[a-z_/]*\.py)\b", document.read_text()):
            assert (ROOT / path).is_file(), f"{document.name}: {path}"
