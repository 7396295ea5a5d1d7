"""A checkpoint handler of a user's own: all that concerns checkpoints concerns its, too."""

import json
from pathlib import Path

import pytest

from firebox.engine.checks.resources import checkpoints_kept
from firebox.engine.commands.command_line import main
from firebox.engine.records import checkpoints
from firebox.engine.records.monitor import Monitor, best_of, monitor_of
from tests.exactness import run_python
from tests.handlers.runs import configured, trained

PLAIN = """
class Own(Checkpoint):
    \"\"\"Nothing of its own.\"\"\"
"""
WITH_A_SETTING = """
class Between(Checkpoint):
    \"\"\"Between the two.\"\"\"

class Own(Between):
    def __init__(self, *, note: str = "", **settings):
        super().__init__(**settings)
        self.note = note
"""
HEAD = """
from pathlib import Path
from firebox.handlers.checkpoint import Checkpoint

(Path(__file__).parent / "imported").touch()
"""


@pytest.mark.parametrize("source", [PLAIN, WITH_A_SETTING])
def test_a_derived_checkpoint_handler_prunes_has_a_best_and_is_archived(tmp_path, capsys, source):
    (tmp_path / "own.py").write_text(HEAD + source)
    settings = {"every": "3 iterations", "keep_last": 1, "keep_best": 1, "monitor": "validation/psnr", "mode": "max"}
    handlers = {"evaluation": {"every": "3 iterations"}, f"{tmp_path}/own.py:Own": settings}
    # At such a learning rate the first evaluation is the best.
    configuration = configured(tmp_path, handlers, optimizer={"name": "adam", "lr": 0.5})
    assert checkpoints_kept(configuration) == 3
    assert monitor_of(configuration) == Monitor("validation/psnr", "max")

    run = trained(configuration)
    run.directory.write_status("completed", run.iteration, "trained")
    manifests = checkpoints.valid_manifests(run.directory.checkpoints)
    best = best_of(manifests, Monitor("validation/psnr", "max"))
    assert len(manifests) == len({best.iteration, 18})
    assert best.iteration < 18

    assert main(["archive", str(run.directory.path)]) == 0
    archive = Path(capsys.readouterr().out.splitlines()[-1])
    selection = json.loads((archive / "card.json").read_text())["selection"]
    assert (selection["metric"], selection["mode"], selection["iteration"]) == (
        "validation/psnr",
        "max",
        best.iteration,
    )

    (tmp_path / "imported").unlink()
    listed = run_python("-m", "firebox", "runs", "--root", tmp_path / "runs").stdout
    value = f"{best.metrics['validation/psnr']:.6g}"
    assert f"validation/psnr {value}" in " ".join(listed.split())
    assert not (tmp_path / "imported").exists()
