"""What is installed: one package, ``firebox``, that needs nothing of the checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("benchmarks", "data", "engine", "experiments", "foundation", "handlers", "models", "modules", "trainers")


def succeed(*command, folder=ROOT, packages=None):
    """Runs Python on its own and returns what it printed; ``packages``: the folder that it imports from first."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    process = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--wheel-dir", folder]
    succeed("-m", "pip", "wheel", *options, ROOT)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel):
    folder = wheel.parent / "installed"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def committed():
    """The files of the repository that are part of the package, as they are named in it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    names = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()}
    return {f"firebox/{name}" for name in names if name.split("/")[0] in (*ROOMS, "configs")} | {
        name for name in names if name.startswith("firebox/")
    }


def test_the_wheel_holds_one_package_with_all_rooms_configurations_and_assets(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"firebox"}
    assert committed() <= names
    assert {name for name in names if "__pycache__" in name or name.endswith((".pyc", ".yaml~"))} == set()
    for room in (*ROOMS, "configs"):
        assert any(name.startswith(f"firebox/{room}/") for name in names), room


def test_the_source_archive_builds_into_the_same_wheel(wheel, tmp_path):
    succeed("-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        assert not any(member.issym() or member.islnk() for member in packed)
        packed.extractall(tmp_path, filter="data")
    folder = archive.with_name(archive.name.removesuffix(".tar.gz"))
    assert not [room for room in ROOMS if (folder / room).exists()], "each room is there once"
    succeed("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, folder=folder)
    (again,) = tmp_path.glob("*.whl")
    contents = [
        {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}
        for archive in map(zipfile.ZipFile, (wheel, again))
    ]
    assert contents[0] == contents[1]


def test_an_installation_trains_from_an_empty_folder(installed, tmp_path):
    where = "import firebox; print(firebox.__file__)"
    assert succeed("-c", where, folder=tmp_path, packages=installed).strip() == str(installed / "firebox/__init__.py")
    small = ("training.epochs=1", "training.device=cpu", "datamodule.batch_size=600", "model.channels=[2,4]")
    options = [word for assignment in small for word in ("--set", assignment)]
    command = ("-m", "firebox", "train", "cae_baseline", *options)
    run = Path(succeed(*command, folder=tmp_path, packages=installed).splitlines()[-1])
    assert (tmp_path / run / "losses.jsonl").stat().st_size
    assert '"completed"' in (tmp_path / run / "status.json").read_text()
    # A name of before everything was firebox leads to a name of now there, too.
    find = (
        "from firebox.engine.components.catalogue import find, UnknownComponent\n"
        "try: find('model', 'models.cae_baseline:CAEBaseline')\nexcept UnknownComponent as error: print(error)"
    )
    assert "did you mean firebox.models.cae_baseline:CAEBaseline?" in succeed(
        "-c", find, folder=tmp_path, packages=installed
    )


def test_help_of_an_installation_imports_no_torch(installed, tmp_path):
    code = (
        "import runpy, sys\nsys.argv = ['firebox', '--help']\n"
        "try: runpy.run_module('firebox', run_name='__main__')\n"
        "except SystemExit: print({'torch', 'ignite', 'numpy'} & sys.modules.keys())"
    )
    printed = succeed("-c", code, folder=tmp_path, packages=installed)
    assert printed.startswith("usage: firebox") and printed.endswith("set()\n")
