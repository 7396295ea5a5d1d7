"""Guards know handlers, schedules and modules by what they are: one that is derived from Firebox's, too."""

import logging
import textwrap

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER


def problems(folder, source, content, *assignments):
    """Returns the problems that a check finds in a configuration with components of ``own.py``, as lines."""
    (folder / "own.py").write_text(textwrap.dedent(source))
    (folder / "x.yaml").write_text(f"training: {{device: cpu, epochs: 2}}\n{textwrap.dedent(content)}")
    configuration = read(TRAINER.name, TRAINER.default, folder / "x.yaml", assignments)
    try:
        preflight(configuration, TRAINER)
    except Refusal as refusal:
        return [str(problem) for problem in refusal.problems]
    return []


def derived(path, name):
    return f"from firebox.handlers.{path} import {name}\nclass Own({name}):\n    ..."


@pytest.mark.parametrize(
    ("path", "name"),
    [("early_stopping", "EarlyStopping"), ("checkpoint", "Checkpoint")],
)
def test_a_derived_handler_watches_a_metric_that_exists_and_its_better_side(tmp_path, path, name):
    left_out = "handlers:\n  - checkpoint: false\n  - own.py:Own: "
    lines = problems(tmp_path, derived(path, name), left_out + "{monitor: validation/lss}\n")
    assert any("own.py:Own.monitor: got validation/lss" in line for line in lines), lines
    lines = problems(tmp_path, derived(path, name), left_out + "{monitor: validation/psnr, mode: min}\n")
    assert any("more of validation/psnr is better" in line for line in lines), lines


def test_a_handler_of_ones_own_watches_what_its_class_says(tmp_path):
    source = """
    from firebox import Handler
    class Own(Handler):
        {watches}
        def __init__(self, *, monitor: str = "the screen", metric: str = "validation/lss"):
            ...
        def attach(self, run):
            ...
    """
    handlers = "handlers: ['own.py:Own']\n"
    lines = problems(tmp_path, source.format(watches='watches = ("metric", "mode")'), handlers)
    assert len(lines) == 1 and "own.py:Own.metric: got validation/lss, but the module" in lines[0]
    # A setting that happens to be called monitor is none.
    (tmp_path / "control").mkdir()
    assert problems(tmp_path / "control", source.format(watches="watches = None"), handlers) == []


def test_nobody_asked_a_derived_checkpoint_handler_for_a_best_one(tmp_path, caplog):
    content = "handlers:\n  - checkpoint: false\n  - evaluation: false\n  - own.py:Own: {keep_last: 3}\n"
    with caplog.at_level(logging.WARNING, "firebox"):
        assert problems(tmp_path, derived("checkpoint", "Checkpoint"), content) == []
    assert "own.py:Own: no best checkpoint will be kept: the handler evaluation is left out" in caplog.text


def test_a_derived_evaluation_evaluates(tmp_path):
    content = "handlers:\n  - evaluation: false\n  - early_stopping\n"
    assert any("the handler evaluation is left out" in line for line in problems(tmp_path, "", content))
    assert problems(tmp_path, derived("evaluation", "Evaluation"), content + "  - own.py:Own\n") == []


def test_a_derived_watch_for_nan_is_one(tmp_path):
    content = "handlers:\n  - terminate_on_nan: false\n"
    unwatched = "nothing would say so"
    assert any(unwatched in line for line in problems(tmp_path, "", content, "training.precision=float16"))
    source = derived("terminate_on_nan", "TerminateOnNaN")
    lines = problems(tmp_path, source, content + "  - own.py:Own\n", "training.precision=float16")
    assert not any(unwatched in line for line in lines)


@pytest.mark.parametrize(
    ("source", "settings", "problem"),
    [
        (
            derived("schedules.cosine", "Cosine"),
            "warmup: 3 epochs",
            "scheduler.warmup: got 3 epochs, but the whole run",
        ),
        (
            """
            from firebox import Schedule
            class Own(Schedule):
                def __init__(self, *, hold: int = 5):
                    self.hold = hold
                def rate(self, step, initial):
                    return initial
                def beyond(self, *, epochs, epoch_length):
                    return {"hold": f"got {self.hold} epochs, expected at most {epochs}"} if self.hold > epochs else {}
            """,
            "hold: 4",
            "scheduler.hold: got 4 epochs, expected at most 2",
        ),
    ],
)
def test_a_schedule_says_itself_what_lies_beyond_the_run(tmp_path, source, settings, problem):
    lines = problems(tmp_path, source, f"scheduler: {{name: 'own.py:Own', {settings}}}\n")
    assert len(lines) == 1 and problem in lines[0]


@pytest.mark.parametrize("annealing", [10, 100_000])
def test_a_module_says_itself_how_long_its_warm_up_is(tmp_path, annealing):
    source = """
    from firebox.modules.reconstruction import Reconstruction
    class Own(Reconstruction):
        def __init__(self, model, specification, *, annealing: int = 0):
            super().__init__(model, specification)
            self.warmup_iterations = annealing
    """
    lines = problems(tmp_path, source, f"module: {{name: 'own.py:Own', annealing: {annealing}}}\n")
    assert len(lines) == (annealing > 1000)
    assert not lines or "module.name: got 100000, but the whole run has" in lines[0]


def test_a_class_that_can_not_be_loaded_is_reported_once(tmp_path):
    lines = problems(tmp_path, derived("checkpoint", "Checkpoint") + "\n1 / 0\n", "handlers: ['own.py:Own']\n")
    assert len(lines) == 1 and "own.py:4: ZeroDivisionError" in lines[0]
