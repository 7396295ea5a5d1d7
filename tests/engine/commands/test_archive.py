"""firebox archive."""

import json
from pathlib import Path

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.training.limits.stopping import StopRequest

CONFIGURATION = """\
trainer: cae_baseline
datamodule: {name: fashion_mini, batch_size: 600}
model: {name: linear_autoencoder, latent_dim: 4}
module: {name: reconstruction, loss: mse}
training: {epochs: 1, device: cpu}
handlers: [evaluation: false, progress: false, image_dump: false, loss_log: false, model_summary: false]
"""


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never evaluated."""
    folder = tmp_path_factory.mktemp("trained")
    file = folder / "configuration.yaml"
    file.write_text(CONFIGURATION)
    configuration = read("cae_baseline", file, None, [f"output.root={folder / 'runs'}"])
    assert train(configuration, None, StopRequest()) == 0
    return folder / "runs" / "fashion_mini" / "linear_autoencoder" / "version_0"


def test_refusal_is_one_line_and_exit_code_2(unmeasured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", str(unmeasured)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "validation/loss was measured at no checkpoint" in output.err
    assert [path.name for path in unmeasured.parent.parent.iterdir()] == ["linear_autoencoder"]


def test_last_line_is_the_archive_and_a_run_without_a_summary_gets_one(
    unmeasured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", str(unmeasured), "--checkpoint", "last"]) == 0
    archive = Path(capsys.readouterr().out.splitlines()[-1])
    assert archive.parent == unmeasured.parent.parent
    card = json.loads((archive / "card.json").read_text())
    assert (card["weights"]["kind"], card["selection"]["checkpoint"]) == ("raw", "last")
    assert "LinearAutoencoder" in (archive / "model_summary.txt").read_text()
