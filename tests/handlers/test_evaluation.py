"""Evaluations while training and at the end."""

import signal

import pytest
import torch
from ignite.engine import Events

from tests.handlers.runs import begun, configured, ended, rows_of, trained

HANDLERS = {"evaluation": {"every": "4 iterations"}, "loss_log": {}, "checkpoint": {}}


def evaluated(run, split="validation"):
    return [row["iteration"] for row in rows_of(run) if row["split"] == split]


def test_the_validation_split_is_evaluated_at_intervals_and_the_test_split_at_the_end(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))

    assert evaluated(run) == [4, 8, 12, 16]
    assert evaluated(run, "test") == [18]
    assert set(run.metrics) == {
        f"{split}/{name}" for split in ("validation", "test") for name in ("loss", "psnr", "ssim")
    }


def test_the_test_split_is_left_alone_where_it_is_switched_off(tmp_path):
    run = trained(configured(tmp_path, {"evaluation": {"test": False}, "loss_log": {}}))

    assert evaluated(run, "test") == []
    assert not any(name.startswith("test/") for name in run.metrics)


def test_a_metric_is_that_of_all_samples_at_once(tmp_path):
    run = trained(configured(tmp_path, HANDLERS, datagenerator={"evaluation_batch_size": 7}))
    batch = run.preparation(run.streams["test"].first(99))
    with torch.inference_mode():
        error = (run.model(batch.images) - batch.images).square().flatten(1).mean(1)

    assert len(batch) == 20
    assert run.metrics["test/loss"] == pytest.approx(error.mean().item(), rel=1e-5)


@pytest.mark.parametrize("every", ["1 iteration", "5 iterations"])
def test_evaluating_changes_nothing_in_the_training(tmp_path, every):
    sections = {"model": {"name": "cae_baseline", "channels": [4], "latent_dim": 4, "dropout": 0.5}}
    sections["training"] = {"epochs": 1}
    without = trained(configured(tmp_path / "without", {}, **sections))
    run = trained(configured(tmp_path / "with", {"evaluation": {"every": every}}, **sections))

    for name, tensor in without.model.state_dict().items():
        assert torch.equal(tensor, run.model.state_dict()[name])


def test_a_stop_within_an_evaluation_leaves_it_to_the_resumed_run(tmp_path):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    configuration = configured(tmp_path / "resumed", HANDLERS)
    run = begun(configuration)

    def stop():
        if run.iteration == 8:
            run.stop.requested, run.stop.signal = True, signal.SIGTERM

    run.evaluator.add_event_handler(Events.STARTED, stop)
    ended(run)
    assert evaluated(run) == [4]
    assert run.dispatcher.pending
    resumed = trained(configuration)

    assert resumed.directory.losses.read_bytes() == reference.directory.losses.read_bytes()
    assert resumed.metrics == reference.metrics


def test_a_stop_within_the_evaluation_of_the_test_split_leaves_it_to_the_resumed_run(tmp_path):
    reference = trained(configured(tmp_path / "reference", HANDLERS))
    configuration = configured(tmp_path / "resumed", HANDLERS)
    run = begun(configuration)

    def stop():
        if run.iteration == 18:
            run.stop.requested, run.stop.signal = True, signal.SIGTERM

    run.evaluator.add_event_handler(Events.STARTED, stop)
    ended(run)
    assert evaluated(run, "test") == []
    resumed = trained(configuration)

    assert resumed.directory.losses.read_bytes() == reference.directory.losses.read_bytes()
