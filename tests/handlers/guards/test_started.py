"""The guards stand at the trainer engine's start, too: an Engine used from Python is protected."""

import pytest

from firebox.engine.checks.guard import Guard, attach_guards
from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from firebox.trainers.train_classifier_baseline import TRAINER as CLASSIFIER


def started(trainer, *assignments):
    run = build(read(trainer.name, trainer.default, None, assignments))
    attach_guards(run)
    with pytest.raises(Refusal) as caught:
        run.trainer.run(run.streams["train"])
    assert run.iteration == 0
    return str(caught.value)


def test_all_that_is_wrong_comes_before_the_first_batch():
    text = started(
        TRAINER, "module.loss=bce", "handlers.early_stopping.monitor=validation/los", "training.accumulation=6000"
    )
    assert "got sigmoid, but the loss bce takes the output for logits" in text
    assert "did you mean validation/loss?" in text
    assert "got 6000 microbatches" in text


def test_batch_normalisation_over_one_image_is_refused_at_the_start():
    assert "got 1, which the batch normalisation" in started(CLASSIFIER, "datamodule.batch_size=1", "scheduler=null")


class Never(Guard):
    """Refuses every run."""

    def check(self, preflight):
        yield preflight.problem("never", "model", "name")


def test_a_guard_attached_by_hand_refuses():
    run = build(read(TRAINER.name, TRAINER.default, None))
    Never().attach(run)
    with pytest.raises(Refusal, match=r"model\.name: never"):
        run.trainer.run(run.streams["train"])
