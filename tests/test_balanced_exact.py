"""A run with balanced classes, killed and resumed: everything is what the run that was never stopped leaves."""

import signal

from tests.exactness import Forked, differences, kill_at, only_run, output, resumed_to_the_end, write_configuration

BALANCED = {"datamodule": {"sampling": "balanced"}, "training": {"epochs": 1}}


def test_a_balanced_run_killed_within_an_epoch_resumes_exactly_with_workers(tmp_path):
    whole = write_configuration(tmp_path / "whole", BALANCED)
    workers = {"datamodule": {**BALANCED["datamodule"], "workers": 2, "placement": "stream"}}
    stopped = write_configuration(tmp_path / "stopped", {**BALANCED, **workers})
    assert Forked(str(whole)).wait() == 0
    assert "balanced: classes of 5" in output(whole)
    assert Forked(str(stopped), prepare=kill_at(12)).wait() == -signal.SIGKILL
    resumed = resumed_to_the_end(stopped)

    assert differences(only_run(tmp_path / "whole"), resumed) == []
