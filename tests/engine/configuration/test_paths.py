"""One rule for all paths in a configuration, and how a run records them."""

from pathlib import Path

import pytest
from PIL import Image

from firebox.engine.configuration import plain, read, read_recorded
from firebox.engine.configuration.core_schema import write
from firebox.engine.configuration.paths import located
from firebox.engine.records.claiming import claim
from firebox.foundation.problems import Mark, Refusal
from firebox.trainers.train_cae_baseline import TRAINER

HANDLER = """\
from firebox import Handler
from firebox.foundation.paths import FilePath

class Slow(Handler):
    def __init__(self, *, seconds: int = 0, table: "FilePath | None" = None):
        self.seconds, self.table = seconds, table

    def attach(self, run):
        pass
"""
TOP = "trainer: cae_baseline\nmodel: {name: linear_autoencoder}\nmodule: {name: reconstruction}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project: configurations in folders of their own, images and a handler beside the base; we stand at its top."""
    project = tmp_path / "project"
    for folder in ("configs", "base", "base/images", "here"):
        (project / folder).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(project / "base/images" / f"{number}.png")
    (project / "base/own.py").write_text(HANDLER)
    (project / "base/table.csv").write_text("1\n")
    (project / "base/base.yaml").write_text(
        "datamodule: {name: image_folder, root: images, image_size: [16, 16]}\n"
        "handlers:\n  - own.py:Slow: {seconds: 3, table: table.csv}\n"
    )
    (project / "configs/my.yaml").write_text(f"extends: ../base/base.yaml\n{TOP}")
    monkeypatch.chdir(project)
    return project


def configured(path, *assignments):
    return read(TRAINER.name, TRAINER.default, path, assignments)


def slow(configuration):
    return next(named for named in configuration.handlers if named.component.short_name == "Slow")


def problems(path, *assignments):
    with pytest.raises(Refusal) as caught:
        configured(path, *assignments)
    return "\n".join(map(str, caught.value.problems))


def test_relative_paths_in_a_base_are_looked_for_beside_the_base(project):
    configuration = configured(project / "configs/my.yaml")
    assert configuration.data.named.parameters["root"] == str(project / "base/images")
    assert slow(configuration).name == f"{project}/base/own.py:Slow"
    assert slow(configuration).parameters["table"] == str(project / "base/table.csv")


def test_a_path_that_is_not_beside_its_file_is_looked_for_in_the_working_directory(project):
    (project / "base/own.py").rename(project / "own.py")
    (project / "base/images").rename(project / "images")
    configuration = configured(project / "configs/my.yaml")
    assert slow(configuration).name == f"{project}/own.py:Slow"
    assert configuration.data.named.parameters["root"] == str(project / "images")


def test_what_is_nowhere_lies_below_the_working_directory_and_a_component_is_refused_with_both_places(project):
    assert configured(None, "datamodule={name: mnist, root: absent}").data.named.parameters["root"] == str(
        project / "absent"
    )
    (project / "base/own.py").unlink()
    assert 'got "own.py:Slow": no such file: base/own.py or own.py' in problems(Path("configs/my.yaml"))


def test_paths_of_the_command_line_are_looked_for_in_the_working_directory_alone(project):
    (project / "own.py").write_text(HANDLER)
    (project / "images").mkdir()
    path = project / "configs/my.yaml"
    configuration = configured(path, "datamodule.root=images", "handlers=[own.py:Slow]")
    assert configuration.data.named.parameters["root"] == str(project / "images")
    assert slow(configuration).name == f"{project}/own.py:Slow"
    (project / "own.py").unlink()
    assert "no such file: own.py" in problems(path, "handlers=[own.py:Slow]")


def test_a_handler_that_is_set_on_the_command_line_stays_the_one_that_the_file_names(project):
    path = project / "configs/my.yaml"
    for key in ("own.py:Slow", "base/own.py:Slow", "./base/../base/own.py:Slow", f"{project}/base/own.py:Slow"):
        configuration = configured(path, f"handlers.{key}.seconds=5")
        assert slow(configuration).parameters["seconds"] == 5, key
        assert slow(configuration).parameters["table"] == str(project / "base/table.csv")
        left = configured(path, f"handlers.{key}=false").handlers
        assert "Slow" not in [named.component.short_name for named in left]
        replaced = slow(configured(path, f"handlers.{key}={{seconds: 7}}"))
        assert (replaced.name, replaced.parameters["seconds"]) == (f"{project}/base/own.py:Slow", 7)
        assert replaced.parameters["table"] is None


@pytest.mark.parametrize("key", ["../elsewhere/v1.2/my.own.py:Slow", "~/my.own.py:Slow", "$PLACE/my.own.py:Slow"])
def test_a_handler_from_a_path_with_dots_is_reached_from_the_command_line(project, monkeypatch, key):
    elsewhere = project.parent / "elsewhere/v1.2"
    elsewhere.mkdir(parents=True)
    (elsewhere / "my.own.py").write_text(HANDLER)
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv("PLACE", str(elsewhere))
    configuration = configured(None, f"handlers.{key}.seconds=5", f"handlers.{key}.table=base/table.csv")
    assert slow(configuration).name == f"{elsewhere}/my.own.py:Slow"
    assert slow(configuration).parameters["seconds"] == 5
    assert slow(configuration).parameters["table"] == str(project / "base/table.csv")
    left = configured(None, f"handlers.{key}.seconds=5", f"handlers.{key}=false").handlers
    assert not [named for named in left if ":" in named.name]


def test_a_component_is_named_on_the_command_line(project):
    (project / "my.models.py").write_text("class M:\n    def __init__(self, input_shape, *, wide: int = 1): ...\n")
    for name in ("my.models.py:M", "./my.models.py:M", f"{project}/my.models.py:M"):
        model = configured(None, "model={}", f"model.name={name}", "model.wide=3").model
        assert (model.name, model.parameters) == (f"{project}/my.models.py:M", {"wide": 3})


def test_variables_and_home_are_replaced_everywhere_and_made_into_no_folder(project, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(project / "scratch"))
    monkeypatch.setenv("HOME", str(project / "home"))
    (project / "home").mkdir()
    (project / "home/own.py").write_text(HANDLER)
    configuration = configured(
        None,
        "output.root=$SCRATCH/runs",
        "datamodule={name: image_folder, root: ~/images}",
        "handlers=['~/own.py:Slow': {table: '${SCRATCH}/t'}]",
    )
    assert configuration.directory == project / "scratch/runs/image_folder/cae_baseline"
    assert configuration.data.named.parameters["root"] == str(project / "home/images")
    assert slow(configuration).parameters["table"] == str(project / "scratch/t")
    claimed = claim(configuration)
    claimed.write_configuration(configuration)
    claimed.unlock()
    assert claimed.path == project / "scratch/runs/image_folder/cae_baseline/version_0"
    assert not (project / "$SCRATCH").exists() and not (project / "~").exists()
    text = claimed.configuration.read_text()
    for written in ("root: $SCRATCH/runs", "root: ~/images", "~/own.py:Slow:", "table: ${SCRATCH}/t"):
        assert written in text, "recorded as it was written"
    assert plain(read_recorded(claimed.configuration)) == plain(configuration)


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("output.root=$ABSENT/runs", 'output.root: got "$ABSENT/runs": the environment variable ABSENT is not set'),
        ("output.root=~nobody_here/runs", "no home directory is known for ~nobody_here"),
        ("datamodule={name: mnist, root: $ABSENT}", 'datamodule.root: got "$ABSENT": the environment variable ABSENT'),
        ("model.name=$ABSENT/m.py:M", 'model.name: got "$ABSENT/m.py:M": the environment variable ABSENT is not set'),
        ('datamodule={name: mnist, root: "a\\0"}', 'datamodule.root: got "a\\x00": embedded null byte'),
        (f"model.name={'x' * 5000}.py:M", "File name too long"),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_path_that_stands_for_nothing_is_refused_with_its_place(monkeypatch, assignment, problem):
    monkeypatch.delenv("ABSENT", raising=False)
    found = problems(None, assignment)
    assert problem in found
    assert found.startswith("--set ")


def test_what_a_run_records_means_the_same_from_everywhere_and_when_the_project_is_moved(project, monkeypatch):
    configuration = configured(project / "configs/my.yaml")
    claimed = claim(configuration)
    claimed.write_configuration(configuration)
    claimed.unlock()
    recorded = claimed.configuration.absolute()
    text = recorded.read_text()
    assert "root: ../../../../base/images" in text
    assert "- ../../../../base/own.py:Slow:" in text
    monkeypatch.chdir("/")
    assert plain(read_recorded(recorded)) == plain(configuration)
    moved = project.rename(project.parent / "moved")
    again = read_recorded(moved / recorded.relative_to(project))
    assert again.data.named.parameters["root"] == str(moved / "base/images")
    assert slow(again).name == f"{moved}/base/own.py:Slow"


def test_a_path_that_shares_only_the_root_with_the_run_is_recorded_absolute(project):
    (project / "top.yaml").write_text(f"{TOP}datamodule: {{name: image_folder, root: {'../' * 30}usr/share}}\n")
    text = write(plain(configured(project / "top.yaml"), project))
    assert "root: /usr/share\n" in text


def test_a_resolved_configuration_that_is_printed_is_valid_where_it_is_printed(project):
    configuration = configured(project / "configs/my.yaml")
    (project / "printed.yaml").write_text(write(plain(configuration, project)))
    assert "root: base/images" in (project / "printed.yaml").read_text()
    assert plain(configured(project / "printed.yaml")) == plain(configuration)


def test_a_file_that_is_named_as_a_module_from_elsewhere_is_refused_with_its_path(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (folder / "parts").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "parts/nets.py").write_text("class Net: ...\n")
    (folder / "x.yaml").write_text("model: {name: 'parts.nets:Net'}\n")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(Refusal) as caught:
        read(TRAINER.name, TRAINER.default, folder / "x.yaml")
    (problem,) = caught.value.problems
    assert problem.message == (
        '"parts.nets:Net": no such module: parts.nets; '
        "a file beside the configuration is named by its path: parts/nets.py:Net"
    )
    (folder / "parts/nets.py").unlink()
    with pytest.raises(Refusal, match=r"no such module: parts\.nets$"):
        read(TRAINER.name, TRAINER.default, folder / "x.yaml")


def test_a_folder_that_a_run_recorded_and_that_is_gone_is_named_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs/image_folder/linear_autoencoder/version_0")
    run.mkdir(parents=True)
    mark = Mark(str(run / "config.yaml"), 4)
    assert located("../../../../images", mark) == tmp_path / "images"
    assert located("images", mark) == tmp_path / "images"
    assert located("../images", None) == tmp_path / "../images"
