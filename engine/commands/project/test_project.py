"""Runs the configuration for an epoch: python -m pytest"""

from pathlib import Path

import firebox


def test_the_configuration_trains(tmp_path):
    run = firebox.build(
        Path(__file__).parent / "config.yaml", quiet=True, training={"epochs": 1}, output={"root": str(tmp_path)}
    )
    metrics = run.train()
    assert metrics["validation/loss"] < 0.25, "an epoch is better than grey"
    assert (run.directory / "losses.jsonl").is_file()
