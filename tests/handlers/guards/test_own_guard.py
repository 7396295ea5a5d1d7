"""A guard from a file: the very one that docs/writing_a_guard.md shows."""

import re

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.launch.admission import Request
from firebox.engine.launch.launch import launch
from firebox.engine.training.factory import build
from firebox.foundation.exit_codes import REFUSED
from firebox.foundation.package import ROOT
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

DOCUMENT = (ROOT / "docs" / "writing_a_guard.md").read_text()


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """A folder with the document's guard and configuration in it."""
    (tmp_path / "small_latent.py").write_text(re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[1])
    (tmp_path / "my.yaml").write_text(re.search(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_documented_guard_refuses_as_documented(documented, capsys):
    assert launch(Request(TRAINER, path=documented.relative_to(documented) / "my.yaml")) == REFUSED
    shown = capsys.readouterr().err
    expected = re.search(r"```\n(my\.yaml.*?)```", DOCUMENT, re.DOTALL)[1]
    assert shown.endswith(expected)
    assert sorted(path.name for path in documented.iterdir() if path.name != "__pycache__") == [
        "my.yaml", "small_latent.py",
    ]  # fmt: skip


def test_the_documented_guard_lets_through_what_it_should(documented):
    configuration = read(TRAINER.name, TRAINER.default, documented / "my.yaml", ["model.latent_dim=16"])
    assert preflight(configuration, TRAINER).results["SmallLatent"] == (
        "passed",
        "a latent that is too large to be plotted",
    )


def test_the_documented_guard_protects_an_engine_used_from_python(documented):
    run = build(read(TRAINER.name, TRAINER.default, documented / "my.yaml"))
    with pytest.raises(Refusal, match="got 64, expected at most 16"):
        run.trainer.run(run.streams["train"])
    assert run.iteration == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("        raise KeyError('x')\n", "the guard Broken fails: KeyError: 'x'"),
        ("        yield preflight.problem('no', 'model', 'latent_dim')\n        1 / 0\n", "model.latent_dim: no"),
    ],
)
def test_a_guard_that_fails_is_a_problem_and_hides_nothing(tmp_path, body, problem):
    source = "from firebox import Guard\nclass Broken(Guard):\n    def check(self, preflight):\n"
    (tmp_path / "broken.py").write_text(f"{source}{body}        yield from ()\n")
    (tmp_path / "my.yaml").write_text("module: {name: reconstruction, loss: bce}\nhandlers: ['broken.py:Broken']\n")
    with pytest.raises(Refusal) as caught:
        preflight(read(TRAINER.name, TRAINER.default, tmp_path / "my.yaml"), TRAINER)
    assert problem in str(caught.value)
    assert "got sigmoid, but the loss bce" in str(caught.value)
