"""Runs compared: what differs, and their results over seeds."""

import json
import statistics

import pytest

from firebox.engine.records.comparison import compare, short_names
from firebox.engine.records.comparison_tables import rows_of_numbers, table_of
from firebox.engine.records.recorded import recorded
from firebox.foundation.problems import Refusal
from tests.written_runs import a_run

TEXT = """\
seed: SEED
model: {name: cae_baseline, latent_dim: LATENT}
training: {epochs: 3}
output: {root: VERSION}
handlers:
  - checkpoint: {monitor: validation/psnr, mode: max, keep_best: 1}
"""


def run_of(root, version, *, seed=1, latent=8, psnr=(1.0, 3.0, 2.0)):
    """A run whose PSNR is best at its second evaluation."""
    rows = [
        {"iteration": 9 * epoch, "epoch": epoch, "split": "validation", "loss": -value, "psnr": value}
        for epoch, value in enumerate(psnr, start=1)
    ]
    rows.append({"iteration": 27, "epoch": 3, "split": "test", "loss": 0.5})
    text = TEXT.replace("SEED", str(seed)).replace("LATENT", str(latent)).replace("VERSION", version)
    run = a_run(root, text, version=version, rows=rows)
    environment = {"started": "2026-01-01T10:00:00+0100", "epoch_length": 9, "parameters": 123}
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "log.txt").write_text("2026-01-01 10:00:00,000 INFO    a\n    b\n2026-01-01 10:01:30,999 INFO    c\n")
    return run


def test_only_the_keys_that_differ_are_shown(tmp_path):
    runs = [recorded(run_of(tmp_path, name, latent=latent)) for name, latent in (("a", 8), ("b", 16))]
    comparison = compare(runs)
    assert comparison.keys == ["model.latent_dim"]
    assert [dict(group.settings) for group in comparison.groups] == [{"model.latent_dim": 8}, {"model.latent_dim": 16}]
    assert compare([runs[0], runs[0]]).keys == []


def test_the_best_evaluation_is_the_one_that_the_checkpoints_are_chosen_by(tmp_path):
    (group,) = compare([recorded(run_of(tmp_path, "a"))]).groups
    assert group.final["validation/psnr"].mean == 2.0
    assert group.final["test/loss"].mean == 0.5
    assert (group.best["validation/psnr"].mean, group.best_iteration.mean) == (3.0, 18)
    assert group.best["validation/loss"].mean == -3
    assert (group.seconds.mean, group.parameters) == (90.0, 123)


def test_seeds_are_summed_up_by_mean_deviation_and_number(tmp_path):
    runs = [recorded(run_of(tmp_path, f"a{seed}", seed=seed, psnr=(seed, 2 * seed, 0))) for seed in (1, 2, 6)]
    runs.insert(1, recorded(run_of(tmp_path, "b", latent=16)))
    first, second = compare(runs).groups
    assert first.settings["seed"] == "1, 2, 6" and first.names == ["a1", "a2", "a6"]
    summary = first.best["validation/psnr"]
    assert (summary.mean, summary.number) == (6.0, 3)
    assert summary.deviation == pytest.approx(statistics.stdev([2, 4, 12]))
    assert second.best["validation/psnr"].deviation is None
    header, row, _ = table_of(compare(runs))
    assert dict(zip(header, row, strict=True))["best validation/psnr"] == "6 ± 5.3"


def test_a_seed_that_is_repeated_says_nothing_about_the_spread(tmp_path):
    runs = [recorded(run_of(tmp_path, name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert [group.names for group in compare(runs).groups] == [["a", "c"], ["b"]]


def test_every_row_of_numbers_has_the_same_columns(tmp_path):
    runs = [recorded(run_of(tmp_path, "a")), recorded(a_run(tmp_path, "seed: 3", version="b"))]
    first, second = rows_of_numbers(compare(runs))
    assert list(first) == list(second)
    assert (first["best iteration"], second["best iteration"]) == (18, None)


def test_the_time_of_a_resumed_run_leaves_out_the_pause(tmp_path):
    run = run_of(tmp_path, "a")
    earlier = {"started": "2026-01-01T10:00:00+0100"}
    (run / "environment.json").write_text(json.dumps({"started": "2026-01-02T08:00:00+0000", "earlier": [earlier]}))
    with (run / "log.txt").open("a") as log:
        log.write("2026-01-02 08:00:30,500 INFO    later\n")
    assert recorded(run).seconds == 90 + 30


def test_names_are_as_short_as_is_clear(tmp_path):
    paths = [tmp_path / "d" / "m" / "v0", tmp_path / "d" / "n" / "v0"]
    assert short_names(paths) == ["m/v0", "n/v0"]
    assert short_names(paths[:1]) == ["v0"]


def test_a_path_that_is_neither_run_nor_archive_is_refused(tmp_path):
    with pytest.raises(Refusal, match="neither a run's directory nor an archive"):
        recorded(tmp_path)


@pytest.mark.parametrize("name", ["config.yaml", "losses.jsonl", "environment.json", "status.json", "log.txt"])
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff\x00", b'{"split": "validation", "iteration": []}\n'])
def test_a_damaged_run_is_compared_all_the_same(tmp_path, name, content):
    run = run_of(tmp_path, "a")
    (run / name).write_bytes(content)
    runs = [recorded(run), recorded(run_of(tmp_path, "b", seed=2))]
    assert len(table_of(compare(runs))) >= 2
    assert bool(runs[0].faults) == (name == "status.json" or (name == "config.yaml" and not content.startswith(b"{")))


def test_a_damaged_archive_is_compared_all_the_same(tmp_path):
    for number, card in enumerate(("{", "{}", '{"metrics": {"test": 1}, "env": [], "selection": {"iteration": "x"}}')):
        folder = tmp_path / f"archived_v{number}_2026-01-01"
        folder.mkdir()
        (folder / "card.json").write_text(card)
        assert recorded(folder).faults
        assert table_of(compare([recorded(folder)]))
