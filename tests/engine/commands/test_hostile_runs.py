"""firebox runs on folders that somebody else wrote: nothing is imported, nothing but printable text is shown."""

import json
import os
import subprocess
import sys

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration.values import Unreadable, recorded_values
from firebox.engine.records.checkpoints import save
from firebox.engine.records.listing import listed
from firebox.engine.records.recorded import recorded
from tests.written_runs import CONFIGURATION, a_run

MARKER = "from pathlib import Path\n(Path(__file__).parent / 'imported').touch()\n"
UNTOLD = f"{MARKER}Own = type('Own', (), {{}})\n"
"""What it takes can't be told from the source, for which reading a configuration imports it."""
TITLE = "\x1b]0;taken over\x07"


@pytest.mark.parametrize("reference", ["../../../../own.py:Own", "pack.own:Own", "pack:Own"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_nothing_that_a_configuration_names_is_imported(tmp_path, reference, options):
    (tmp_path / "pack").mkdir()
    for file in ("own.py", "pack/__init__.py", "pack/own.py"):
        (tmp_path / file).write_text(UNTOLD)
    run = a_run(tmp_path / "runs", CONFIGURATION.replace("REFERENCE", reference))
    command = [sys.executable, "-m", "firebox", "runs", *options]
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, env=environment)
    assert "completed" in done.stdout
    assert not list(tmp_path.rglob("imported"))
    # The control: reading it as a configuration imports it.
    code = "import sys; from pathlib import Path; from firebox.engine.configuration import read_recorded"
    command = [sys.executable, "-c", f"{code}; read_recorded(Path(sys.argv[1]))", str(run / "config.yaml")]
    subprocess.run(command, capture_output=True, cwd=tmp_path, check=False, env=environment)
    assert list(tmp_path.rglob("imported"))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_and_reasons_are_shown_as_printable_text(tmp_path, capsys, options):
    name = f"validation/[red]l{TITLE}\nx:smile:"
    text = f"handlers:\n  - checkpoint: {{keep_best: 1, mode: min, monitor: {json.dumps(name)}}}\n"
    status = {"status": "failed", "iteration": 3, "reason": f"{TITLE}[bold]x"}
    row = {"iteration": 3, "epoch": 1, "split": "train", f"{TITLE}[red]": 1.0}
    run = a_run(tmp_path, text, version="[red]v", status=status, rows=[row])
    save(run / "checkpoints", {"iteration": 3}, iteration=3, epoch=1, metrics={name: 0.5}, configuration="")
    assert main(["runs", "--root", str(tmp_path), *options]) == 0
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "[red]v" in shown and "validation/[red]l\\" in shown and ":smile:" in shown
    if options:
        (found,) = json.loads(shown)
        assert found["best"] == {"metric": name, "value": 0.5}
        assert (found["reason"], found["metrics"][f"train/{TITLE}[red]"]) == (status["reason"], 1.0)


def test_a_list_of_objects_has_the_directory_status_iteration_and_metrics(tmp_path, capsys):
    rows = [
        {"iteration": 9, "epoch": 1, "split": "validation", "loss": 0.25},
        {"iteration": 9, "epoch": 1, "split": "train", "loss": 0.75, "learning_rate": 0.1},
        {"iteration": 10, "epoch": 2, "split": "train", "loss": 0.5, "learning_rate": 0.1},
    ]
    run = a_run(tmp_path, CONFIGURATION, rows=rows, status={"status": "interrupted", "iteration": 10, "reason": "x"})
    assert main(["runs", "--root", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    expected = {"directory": str(run), "status": "interrupted", "iteration": 10}
    assert expected.items() <= found.items()
    assert found["metrics"] == {"train/loss": 0.5, "validation/loss": 0.25}
    assert found["epochs"] == {"done": 1, "total": 3}
    assert main(["runs", "--root", str(tmp_path / "nowhere"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    "text",
    [
        "x: " + "a" * 20_000_000,
        "[" * 100_000,
        "x: " + "[" * 100_000 + "]" * 100_000,
        "- " * 5000,
        "a: &a [1]\nb: [*a, *a]\n",
        "a: &a [*a]\n",
        "a: !!python/object/apply:os.system [true]\n",
        "training: [1]\nhandlers: {a: 1}\n",
        "training: {epochs: many}\nhandlers: [[1], {a: 1, b: 2}, {1: 2}, {'a\x85': {}}]\n",
        f"handlers: [{{'{'a' * 5000}.py:X': {{}}}}, {{'a\\0.py:X': {{}}}}, {{'$NO.py:X': {{}}}}, {{'..x:Y': {{}}}}]\n",
        "- 1\n",
        "",
        "\x00",
        "training: {epochs: " + "9" * 5000 + "}",
    ],
)
def test_a_hostile_configuration_is_listed_at_once(tmp_path, capsys, text):
    a_run(tmp_path, text)
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "completed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "status", ["", "[" * 100_000, "[]", '{"status": "\\u001b[31m"}', '{"status": "completed", "iteration": "x"}', "{}"]
)
def test_a_damaged_record_is_listed(tmp_path, capsys, status):
    run = a_run(tmp_path, CONFIGURATION, status=status)
    (run / "losses.jsonl").write_bytes(b'\xff\n{"split": "train"\n[1]\n' + b'{"iteration": -3, "split": "train"}\n')
    (run / "environment.json").write_text('{"epoch_length": 0}')
    checkpoint = run / "checkpoints" / "iteration_00000003"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("[" * 100_000)
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_line_break_in_a_name_makes_no_row_of_its_own(tmp_path, capsys):
    run = a_run(tmp_path, CONFIGURATION, version="a\nforged  completed  3 of 3")
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    (run / "config.yaml").write_text("[")
    assert main(["compare", str(run)]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2 and len(said.err.splitlines()) == 1


def test_pipes_where_files_are_expected_hold_up_nothing(tmp_path):
    run = a_run(tmp_path, CONFIGURATION)
    for name in ("losses.jsonl", "environment.json"):
        (run / name).unlink()
        os.mkfifo(run / name)
    assert listed(run).epochs is None
    for name in ("log.txt", "model_summary.txt"):
        os.mkfifo(run / name)
    assert recorded(run).seconds is None
    os.mkfifo(run / "pipe")
    with pytest.raises(Unreadable):
        recorded_values(run / "pipe")


def test_recorded_values_are_those_that_the_configuration_was_read_as(tmp_path):
    from firebox.engine.configuration import plain, read
    from firebox.engine.configuration.core_schema import write
    from firebox.trainers.train_cae_baseline import TRAINER

    values = plain(read(TRAINER.name, TRAINER.default))
    (tmp_path / "config.yaml").write_text(write({**values, "texts": ["1:30", "010", "yes", "0o7", 1e-8, None, "a\nb"]}))
    assert recorded_values(tmp_path / "config.yaml") == {
        **values,
        "texts": ["1:30", "010", "yes", "0o7", 1e-8, None, "a\nb"],
    }
