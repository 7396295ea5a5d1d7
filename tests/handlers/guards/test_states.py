"""What a checkpoint could not give back is refused before the training, or at the first save."""

import textwrap
from pathlib import Path

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.launch import launch
from firebox.engine.records import checkpoints
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import begun, configured, ended, trained

HANDLER = """
    from collections import deque
    from pathlib import Path
    import numpy, torch
    from firebox import Handler

    class Own(Handler):
        def attach(self, run):
            self.run, self.value = run, {value}
            {attach}
        def state_dict(self):
            return {{"best": [self.value]}}
        def load_state_dict(self, state):
            self.value = state["best"][0]
"""
MODEL = """
    from pathlib import Path
    import torch

    class Own(torch.nn.Module):
        output_activation = "linear"
        def __init__(self, input_shape):
            super().__init__()
            self.layer = torch.nn.Linear(64, 64)
        def forward(self, images):
            return self.layer(images.flatten(1)).view_as(images)
        def get_extra_state(self):
            return {"where": Path("a")}
        def set_extra_state(self, state):
            pass
"""
MODULE = """
    from collections import deque
    import torch
    from firebox.modules.reconstruction import Reconstruction

    class Own(Reconstruction):
        def __init__(self, model, specification):
            super().__init__(model, specification)
            self.window = deque([1.0])
        def state_dict(self):
            return {"window": self.window}
        def load_state_dict(self, state):
            self.window = state["window"]
"""


def written(folder, source, name="own.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(source))
    return f"{name}:Own"


def refused(configuration):
    with pytest.raises(Refusal) as caught:
        preflight(configuration, TRAINER)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("value", "found", "way_out"),
    [
        ('Path("a")', "PosixPath", "return str(value) in its place"),
        ("deque([1])", "a collections.deque", "return list(value) in its place"),
        ("torch.Generator()", "Generator", "return value.get_state()"),
        ('numpy.array(["a"])', "NumPy's, of dtype <U1", ""),
    ],
)
def test_a_handlers_state_is_refused_with_its_place_key_and_a_way_out(tmp_path, value, found, way_out):
    name = written(tmp_path, HANDLER.format(value=value, attach="pass"))
    (line,) = refused(configured(tmp_path, {name: {}}))
    assert line.startswith(f"{tmp_path}/configuration.yaml:")
    assert 'own.py:Own: state_dict()["best"][0] is ' in line
    assert found in line
    assert way_out in line
    assert "expected tensors, NumPy's arrays and numbers, None" in line


def test_a_models_and_a_modules_state_are_refused_too(tmp_path):
    configured(tmp_path, {}, model=None)
    path = tmp_path / "configuration.yaml"
    path.write_text(f"{path.read_text()}model: {{name: {written(tmp_path, MODEL, 'm.py')}}}\n")
    (line,) = refused(read(TRAINER.name, TRAINER.default, path))
    assert 'model.name: state_dict()["_extra_state"]["where"] is ' in line
    (line,) = refused(configured(tmp_path, {}, module={"name": written(tmp_path, MODULE)}))
    assert 'module.name: state_dict()["window"] is a collections.deque' in line


def test_what_becomes_unstorable_while_training_stops_the_run_at_its_save(tmp_path):
    later = 'run.every("3 iterations", lambda: setattr(self, "value", Path("a")), self.phase)'
    name = written(tmp_path, HANDLER.format(value="0", attach=later))
    configuration = configured(tmp_path, {name: {}, "checkpoint": {"every": "2 iterations"}})
    preflight(configuration, TRAINER)
    assert launch.train(configuration, None, StopRequest()) == launch.FAILED
    directory = RunDirectory(configuration.directory / configuration.output.version)
    reason = directory.status().reason
    assert reason.startswith('the handler own.py:Own: state_dict()["best"][0] is ')
    assert "PosixPath" in reason
    run = begun(configuration)
    assert run.iteration == 2
    run.finish_early("not trained")
    ended(run)


@pytest.mark.parametrize("value", ["numpy.float32(0.5)", "numpy.arange(3.0)", "torch.Generator().get_state()"])
def test_what_can_be_read_back_trains_and_resumes(tmp_path, value):
    name = written(tmp_path, HANDLER.format(value=value, attach="pass"))
    configuration = configured(tmp_path, {name: {}, "checkpoint": {"every": "5 iterations"}})
    preflight(configuration, TRAINER)
    first = trained(configuration)
    again = begun(configuration)
    before, after = first.handlers["Own"].value, again.handlers["Own"].value
    assert type(after) is type(before)
    assert (before == after).all() if before.ndim else before == after
    again.finish_early("not trained")
    ended(again)


def test_state_dict_without_load_state_dict_is_refused(tmp_path):
    source = HANDLER.format(value="0", attach="pass")
    source = source[: source.index("        def load_state_dict")]
    (line,) = refused(configured(tmp_path, {written(tmp_path, source): {}}))
    assert "own.py:Own: has state_dict and no load_state_dict, so that what it saves would not come back" in line


def test_the_first_file_of_a_process_is_loaded_back_before_it_counts(tmp_path, monkeypatch):
    """The walk lets nothing through that torch would not read; so it is switched off."""
    name = written(tmp_path, HANDLER.format(value='Path("a")', attach="pass"))
    configuration = configured(tmp_path, {name: {}, "checkpoint": {"every": "4 iterations"}})
    run = begun(configuration)
    monkeypatch.setattr(type(run), "snapshot", type(run).state_dict)
    with pytest.raises(checkpoints.SaveError, match=r"can't write the checkpoint of iteration 4 .*can't be loaded"):
        ended(run)
    assert list(Path(run.directory.checkpoints).iterdir()) == []


def test_without_loading_back_such_a_file_counts_as_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_refuse_unreadable", lambda *_: None)
    name = written(tmp_path, HANDLER.format(value='Path("a")', attach="pass"))
    run = begun(configured(tmp_path, {name: {}, "checkpoint": {"every": "4 iterations"}}))
    monkeypatch.setattr(type(run), "snapshot", type(run).state_dict)
    ended(run)
    path = checkpoints.path_of(run.directory.checkpoints, 18)
    checkpoints.verify(path)
    with pytest.raises(checkpoints.DamagedCheckpoint):
        checkpoints.load(path)
