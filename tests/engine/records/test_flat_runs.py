"""Runs as rows of a table, chosen and ordered by their columns."""

import pytest

from firebox.engine.records.flat_runs import chosen, flat
from firebox.engine.records.listing import listed, runs_in
from firebox.foundation.problems import Refusal
from tests.written_runs import a_run

TEXT = "seed: SEED\nmodel: {name: MODEL, channels: [8, 16]}\noptimizer: {lr: LR}\ntraining: {compile: false, x: null}\n"
RUNS = {"a": ("7", "unet", "0.1", 0.5), "b": ("8", "unet", "0.02", 0.25), "c": ("9", "cae", "1e-3", None)}


@pytest.fixture
def root(tmp_path):
    for name, (seed, model, lr, loss) in RUNS.items():
        text = TEXT.replace("SEED", seed).replace("MODEL", model).replace("LR", lr)
        rows = [] if loss is None else [{"iteration": 9, "epoch": 1, "split": "validation", "loss": loss}]
        a_run(tmp_path, text, version=name, rows=rows)
    return tmp_path


def names(root, *conditions, **order):
    return sorted_names(root, *conditions, **order) if order else sorted(sorted_names(root, *conditions))


def sorted_names(root, *conditions, **order):
    return [run.path.name for run in chosen(runs_in(root), conditions, **order)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("metrics.validation/loss<0.5", "b"),
        ("metrics.validation/loss <= 0.5", "ab"),
        ("optimizer.lr>0.01", "ab"),
        ("optimizer.lr>=0.1", "a"),
        ("model.name=unet", "ab"),
        ("model.name!=unet", "c"),
        ("model.name>c", "abc"),
        ("seed == 9.0", "c"),
        ("model.channels=[8, 16]", "abc"),
        ("training.compile=false", "abc"),
        ("training.compile=0", ""),
        ("training.x<1", ""),
        ("status=completed", "abc"),
        ("status<3", ""),
        ("iteration>26", "abc"),
        ("directory != x", "abc"),
        ("reason=[", ""),
    ],
)
def test_runs_are_chosen_by_a_condition(root, condition, expected):
    assert names(root, condition) == list(expected)


def test_all_conditions_must_be_met(root):
    assert names(root, "model.name=unet", "seed>7") == ["b"]


def test_runs_are_ordered_by_a_value_and_those_without_it_come_last(root):
    assert names(root, sort="metrics.validation/loss") == ["b", "a", "c"]
    assert names(root, sort="metrics.validation/loss", descending=True) == ["a", "b", "c"]
    assert names(root, sort="optimizer.lr") == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("loss", 'got "loss"; expected KEY, one of'),
        ("validation/loss<1", "did you mean metrics.validation/loss?"),
        ("model.nam=unet", "did you mean model.name?"),
        ("<3", "expected KEY"),
    ],
)
def test_a_condition_that_can_not_be_meant_is_refused(root, condition, message):
    with pytest.raises(Refusal, match=r"^--where: ") as refused:
        chosen(runs_in(root), [condition])
    assert message in str(refused.value)


def test_an_unknown_column_to_order_by_is_refused(root):
    with pytest.raises(Refusal, match="--sort: no run has"):
        chosen(runs_in(root), [], "losses")


def test_a_row_has_the_state_metrics_and_settings(root):
    row = flat(listed(root / "data" / "model" / "b"))
    expected = {"status": "completed", "iteration": 27, "metrics.validation/loss": 0.25, "optimizer.lr": 0.02}
    assert expected.items() <= row.items()
    assert all(value is None or isinstance(value, int | float | str) for value in row.values())
