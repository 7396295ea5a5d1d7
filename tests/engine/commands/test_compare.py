"""firebox compare."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from firebox.engine.commands.command_line import main
from tests.written_runs import CONFIGURATION, a_run

TITLE = "\x1b]0;taken over\x07"


@pytest.fixture
def runs(tmp_path):
    found = []
    for version, latent, loss in (("a", 4, 0.5), ("b", 8, 0.25)):
        text = CONFIGURATION.replace("name: REFERENCE", f"name: x, latent_dim: {latent}").replace("REFERENCE", "y")
        rows = [{"iteration": 27, "epoch": 3, "split": "validation", "loss": loss}]
        found.append(str(a_run(tmp_path, text, version=version, rows=rows)))
    return found


def test_a_table_shows_what_differs_and_the_metrics(runs, capsys):
    assert main(["compare", *runs]) == 0
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header[:2] == ["run", "model.latent_dim"]
    assert [row[:3] for row in rows] == [["a", "4", "0.5"], ["b", "8", "0.25"]]


def test_a_run_that_cant_be_read_is_a_row_of_its_own_and_changes_no_other(runs, tmp_path, capsys):
    damaged = a_run(tmp_path, "[", version="c", status="")
    assert main(["compare", *runs, str(damaged)]) == 0
    said = capsys.readouterr()
    header, *rows = [line.split() for line in said.out.splitlines()]
    assert header[1] == "model.latent_dim" and "model.name" not in header
    assert [row[0] for row in rows] == ["a", "b", "c"]
    assert said.err.count(str(damaged)) == 2, "its status and its configuration"
    assert main(["compare", runs[0], str(damaged)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3, "it is no other seed of a run that can be read"


def test_csv_and_json_have_the_numbers(runs, capsys):
    assert main(["compare", "--csv", *runs]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["validation/loss"]) for row in rows] == [0.5, 0.25]
    assert main(["compare", "--json", *runs]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differing"] == ["model.latent_dim"]
    assert found["groups"][1]["final"]["validation/loss"] == {"mean": 0.25, "deviation": None, "number": 1}


def test_what_is_no_run_is_refused_and_all_of_it_named(runs, tmp_path, capsys):
    assert main(["compare", runs[0], str(tmp_path / "x"), str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_names_are_shown_as_printable_text(tmp_path, capsys, form):
    row = {"iteration": 3, "epoch": 1, "split": "validation", f"{TITLE}[red]": 1.0}
    text = f'model: {{name: "{chr(92)}e]0;x", y: "[bold]"}}\n'
    hostile = [str(a_run(tmp_path, text, version="[red]v", rows=[row])), str(a_run(tmp_path, "seed: 1", version="w"))]
    assert main(["compare", *form, *hostile]) == 0
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "[red]v" in shown and "[bold]" in shown


@pytest.mark.parametrize("name", ["compare", "report"])
def test_comparing_and_reporting_import_no_torch(runs, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code = "import sys; from firebox.engine.commands.command_line import main"
    code += "; main(sys.argv[1:]); print([name for name in ('torch', 'ignite', 'matplotlib') if name in sys.modules])"
    command = [sys.executable, "-c", code, name, *runs]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    assert output.splitlines()[-1] == "[]"
