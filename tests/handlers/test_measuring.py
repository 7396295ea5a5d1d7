"""Handlers that look at what the training does and takes: histograms, device_stats, profiler, gradient norms."""

import gzip
import json

import pytest
import torch

from tests.handlers.runs import begun, configured, ended, rows_of, tensorboard_of, trained

LOG = {"loss_log": {"every": "3 iterations"}}


def train_losses(run):
    return [row["loss"] for row in rows_of(run) if row["split"] == "train"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(configured(tmp_path_factory.mktemp("plain"), LOG))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    handlers = {
        "histograms": {"every": "5 iterations"},
        "device_stats": {"every": "6 iterations"},
        "profiler": {"after": "3 iterations", "iterations": 4},
    }
    return trained(configured(tmp_path_factory.mktemp("measured"), {**LOG, **handlers}))


@pytest.fixture(scope="module")
def events(measured):
    return tensorboard_of(measured.directory.tensorboard)


def test_measuring_changes_nothing_in_the_training(plain, measured, tmp_path):
    assert train_losses(measured) == train_losses(plain)
    # The control: a gradient that is clipped changes it.
    clipped = trained(configured(tmp_path, LOG, training={"gradient_clip_norm": 0.01}))
    assert train_losses(clipped) != train_losses(plain)


def test_histograms_are_of_the_first_update_after_each_interval(measured, events):
    names = {name for name, _ in measured.model.named_parameters()}
    for kind in ("weights", "gradients", "updates"):
        assert {tag.removeprefix(f"{kind}/") for tag in events.Tags()["histograms"] if tag.startswith(kind)} == names
    for name in names:
        assert [event.step for event in events.Histograms(f"updates/{name}")] == [6, 11, 16]
        assert [event.step for event in events.Scalars(f"update_ratio/{name}")] == [6, 11, 16]


def test_the_ratio_is_that_of_the_update_to_the_weights(tmp_path, events):
    run = begun(configured(tmp_path, LOG))
    weights = {}

    def look():
        weights[run.iteration] = {name: p.detach().clone() for name, p in run.model.named_parameters()}

    run.every("1 iteration", look, run.handlers["loss_log"].phase)
    ended(run)
    for name, before in weights[5].items():
        expected = float((weights[6][name] - before).norm() / before.norm())
        (first, *_) = events.Scalars(f"update_ratio/{name}")
        assert first.value == pytest.approx(expected, rel=1e-5)


def test_the_hooks_of_histograms_are_there_only_while_they_are_needed(measured):
    (optimizer,) = measured.update.optimizers.values()
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks


def test_device_stats_has_memory_and_processor_time(events):
    memory, processor = events.Scalars("device/memory_gib"), events.Scalars("device/processor_percent")
    assert [event.step for event in memory] == [event.step for event in processor] == [6, 12, 18]
    assert all(0.05 < event.value < 100 for event in memory)
    assert any(event.value > 0 for event in processor)


def test_the_profiler_leaves_a_trace_a_table_and_what_the_step_waits_for(measured):
    folder = measured.directory.path / "profile"
    with gzip.open(folder / "trace.json.gz") as file:
        recorded = json.load(file)["traceEvents"]
    assert sum("addmm" in event.get("name", "") for event in recorded) >= 4
    assert "Self CPU" in (folder / "operations.txt").read_text()
    text = (folder / "summary.txt").read_text()
    assert "waiting for the batch" in text and "the step" in text and "most of it is" in text
    shares = [int(part.split(" %")[0]) for part in text.split("(")[1:]]
    assert sum(shares) == pytest.approx(100, abs=3) and min(shares) >= 0


@pytest.mark.parametrize("clip", [None, 0.01])
def test_the_gradient_norm_is_logged_before_clipping(tmp_path, clip):
    run = begun(configured(tmp_path, LOG, training={"gradient_clip_norm": clip}))
    norms, parameters = {}, list(run.model.parameters())
    backward = torch.autograd.graph.register_multi_grad_hook(
        parameters, lambda grads: norms.setdefault(run.iteration, torch.nn.utils.get_total_norm(grads))
    )
    ended(run)
    backward.remove()
    logged = tensorboard_of(run.directory.tensorboard).Scalars("optimization/gradient_norm")
    assert [event.step for event in logged] == [3, 6, 9, 12, 15, 18]
    assert [event.value for event in logged] == pytest.approx([float(norms[event.step]) for event in logged], rel=1e-5)
    if clip is not None:
        assert all(event.value > clip for event in logged)
