"""A sweep of tiny runs whose processes can be held at an iteration, to be killed there."""

import pytest

CONFIGURATION = """\
trainer: cae_baseline
datamodule: {name: fashion_mini, batch_size: 20, limit: 80}
model: {name: linear_autoencoder, latent_dim: 4}
module: {name: reconstruction}
training: {epochs: 2, device: cpu}
handlers:
  - image_dump: false
  - loss_plot: false
  - model_summary: false
  - holding.py:Holding
"""
HOLDING = """\
import os
import signal
import time
from pathlib import Path

from firebox import Handler


class Holding(Handler):
    observes = True

    def attach(self, run):
        self._run = run
        run.every("1 iteration", self._hold, self.phase)

    def _hold(self):
        hold = Path("hold")
        if hold.exists() and "slow" in hold.read_text():
            time.sleep(0.3)
        if not hold.exists() or str(self._run.iteration) not in hold.read_text().split():
            return
        if "die" in hold.read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        Path("held").touch()
        time.sleep(600)
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    (tmp_path / "holding.py").write_text(HOLDING)

    def written(text):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return path

    return written
