"""firebox runs."""

import json
import os
import re
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from firebox.engine.commands.command_line import main
from firebox.engine.commands.runs import _table_of_runs, age
from firebox.engine.configuration import quick_loading, read, read_recorded
from firebox.engine.configuration.identity import digest_of
from firebox.engine.records.claiming import claim
from firebox.engine.records.listing import runs_in
from firebox.engine.records.run_directory import RunDirectory

CONFIGURATION = """\
trainer: cae_baseline
datamodule: {name: fashion_mini, batch_size: 600}
model: {name: linear_autoencoder, latent_dim: 4}
module: {name: reconstruction}
training: {epochs: 3}
"""


def new_run(tmp_path: Path, version: str) -> RunDirectory:
    """A run's directory as it is at the start of the training, its lock given back."""
    file = tmp_path / "configuration.yaml"
    file.write_text(CONFIGURATION)
    configuration = read("cae_baseline", file, None, [f"output.root={tmp_path / 'runs'}", f"output.version={version}"])
    directory = claim(configuration)
    directory.write_configuration(configuration)
    directory.write_environment({"epoch_length": 9})
    directory.unlock()
    return directory


def add_checkpoint(directory: RunDirectory, iteration: int, loss: float) -> None:
    from firebox.engine.records import checkpoints

    digest = digest_of(read_recorded(directory.configuration))
    metrics = {"validation/loss": loss}
    state = {"iteration": iteration}
    checkpoints.save(
        directory.checkpoints,
        state,
        iteration=iteration,
        epoch=-(-iteration // 9),
        metrics=metrics,
        configuration=digest,
    )


def lines_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What is listed, by the last part of the first column."""
    assert main(["runs", "--root", str(tmp_path / "runs")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {Path(row[0]).name: row[1:] for row in rows if row}


def test_shows_status_epochs_and_the_best_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = new_run(tmp_path, "done")
    add_checkpoint(directory, 9, 0.25)
    add_checkpoint(directory, 27, 0.5)
    directory.write_status("completed", 27, "trained for 3 epochs")
    assert lines_of(tmp_path, capsys)["done"][:4] == ["completed", "3/3", "validation/loss", "0.25"]


def test_a_run_that_says_running_is_killed_where_no_process_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_run(tmp_path, "dead")
    alive = new_run(tmp_path, "alive")
    imports = "import sys; from firebox.engine.records.run_directory import RunDirectory, Path"
    code = f"{imports}; RunDirectory(Path(sys.argv[1])).lock()"
    command = [sys.executable, "-c", f"{code}; print(flush=True); input()", str(alive.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        assert training.stdout is not None
        training.stdout.readline()
        listed = lines_of(tmp_path, capsys)
        training.communicate(b"\n")
    assert listed["dead"][:2] == ["killed", "0/3"]
    assert listed["alive"][:2] == ["running", "0/3"]


def test_a_running_run_counts_the_epochs_that_its_log_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = new_run(tmp_path, "going")
    rows = [json.dumps({"iteration": iteration, "split": "train"}) for iteration in range(1, 20)]
    directory.losses.write_text("\n".join(rows) + '\n{"iteration": 2')
    assert lines_of(tmp_path, capsys)["going"][1] == "2/3"


def test_a_run_whose_configuration_cannot_be_read_is_listed_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = new_run(tmp_path, "broken")
    directory.configuration.write_text("trainer: [")
    directory.write_status("failed", 3, "disk full")
    assert lines_of(tmp_path, capsys)["broken"][:2] == ["failed", "?/?"]


def test_archives_are_listed_in_the_order_of_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, content in ((10, "{"), (2, json.dumps(small_card()))):
        folder = tmp_path / "runs" / "fashion_mini" / f"archived_v{number}_2026-01-01"
        folder.mkdir(parents=True)
        (folder / "card.json").write_text(content)
    listed = lines_of(tmp_path, capsys)
    assert list(listed) == ["archive", "archived_v2_2026-01-01", "archived_v10_2026-01-01"]
    assert listed["archived_v2_2026-01-01"][:4] == ["linear_autoencoder", "27", "loss", "0.125"]
    assert " ".join(listed["archived_v10_2026-01-01"]) == "card.json can't be read"


def small_card() -> dict[str, object]:
    return {
        "model": {"name": "linear_autoencoder"},
        "selection": {"iteration": 27},
        "metrics": {"test": {"loss": {"value": 0.125}}},
        "created_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def test_an_empty_root_is_said_to_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "no runs in" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200000, "2 d")])
def test_age_is_told_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize("width", [24, 40, 80])
def test_nothing_is_cut_in_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    directory = new_run(tmp_path, "done")
    add_checkpoint(directory, 9, 0.25)
    changed = time.time() - 3.5 * 3600
    os.utime(directory.path / "status.json", (changed, changed))
    terminal = Console(file=StringIO(), width=width)
    terminal.print(_table_of_runs(runs_in(tmp_path / "runs"), []))
    lines = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    shown = "".join(lines).replace(" ", "")
    assert sorted(shown) == sorted(f"runstatusepochsbestage{directory.path}killed0/3validation/loss0.253h")


def test_listing_runs_imports_neither_torch_nor_what_other_commands_need(tmp_path: Path) -> None:
    directory = new_run(tmp_path, "done")
    add_checkpoint(directory, 9, 0.25)
    code = "import sys; from firebox.engine.commands.command_line import main"
    others = ("torch", "numpy", "firebox.trainers", "firebox.engine.configuration.configuration")
    code += f"; main(sys.argv[1:]); print(any(name in sys.modules for name in {others}))"
    command = [sys.executable, "-c", code, "runs", "--root", str(tmp_path / "runs")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    assert "0.25" in output
    assert output.splitlines()[-1] == "False"


opened: list[str] = []
counting = False


def count(event: str, arguments: tuple[object, ...]) -> None:
    if counting and event == "open" and isinstance(arguments[0], str | os.PathLike):
        opened.append(os.fspath(arguments[0]))


def test_a_list_of_runs_opens_each_file_once_and_parses_what_runs_have_in_common_once(tmp_path: Path) -> None:
    global counting
    number = 20
    for version in range(number):
        directory = new_run(tmp_path, f"v{version}")
        text = directory.configuration.read_text()
        directory.configuration.write_text(text.replace("\nseed: 0\n", f"\nseed: {version}\n"))
        directory.write_status("completed", 27, "trained for 3 epochs")
        add_checkpoint(directory, 9, 0.25)
        directory.losses.write_text('{"iteration": 27, "split": "train", "loss": 0.5}\n')
    sections = len(re.findall(r"^[a-z#]", text, re.MULTILINE))
    quick_loading._section.cache_clear()
    sys.addaudithook(count)  # there is no way to take it away again
    counting = True
    try:
        runs = runs_in(tmp_path / "runs")
    finally:
        counting = False
    assert len(runs) == number and all(run.metrics["train/loss"] == 0.5 for run in runs)
    read = [path for path in opened if path.startswith(str(tmp_path))]
    files = {"config.yaml", "environment.json", "losses.jsonl", "manifest.json", "status.json"}
    assert {Path(path).name for path in read} == files
    assert len(read) == len(set(read)) == len(files) * number
    assert quick_loading._section.cache_info().misses == sections + 2 * (number - 1), "the seed and the output differ"


ODD = [
    "",
    "{",
    "[]",
    "null",
    '"text"',
    '{"epoch_length": 0}',
    '{"epoch_length": "9"}',
    '{"status": [], "iteration": "x"}',
]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", ["environment.json", "status.json", "losses.jsonl"])
def test_a_run_whose_records_are_odd_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    directory = new_run(tmp_path, "odd")
    (directory.path / name).write_text(f"{text}\n" if name == "losses.jsonl" else text)
    row = lines_of(tmp_path, capsys)["odd"]
    assert row[0] == "killed"
    assert row[1] == ("?/?" if name == "environment.json" else "0/3")
