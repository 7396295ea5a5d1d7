"""The streams of a run: what they need to know of a data set of one's own."""

import textwrap

import pytest

from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER

OWN = """
import torch
from firebox import DataModule, DatasetImages, ImageSpecification

class Samples(torch.utils.data.Dataset):
    {targets}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.full((1, 16, 16), index, dtype=torch.uint8), index // 8

class Own(DataModule):
    specification = ImageSpecification((1, 16, 16), "[0,1]", ("a", "b"))
    split_lengths = {{"train": 12, "validation": 12}}

    def read(self, split):
        return DatasetImages(Samples(), fixed=True)
"""


def balanced(folder, targets, *assignments):
    (folder / "own.py").write_text(textwrap.dedent(OWN.format(targets=targets)))
    (folder / "x.yaml").write_text("datamodule: {name: own.py:Own, batch_size: 4, sampling: balanced}\n")
    return read(TRAINER.name, TRAINER.default, folder / "x.yaml", ["training.device=cpu", *assignments])


def test_balanced_classes_need_labels_that_are_known_without_the_images(tmp_path):
    with pytest.raises(Refusal) as refused:
        build(balanced(tmp_path, ""))

    (problem,) = refused.value.problems
    assert problem.key == "datamodule.sampling"
    assert "expected shuffled, or a data set with all labels in an attribute targets" in problem.message
    assert str(problem.mark).endswith("x.yaml:1:57")


def test_a_data_set_of_ones_own_is_balanced_and_limited(tmp_path):
    run = build(balanced(tmp_path, "targets = [0] * 8 + [1] * 4", "datamodule.limit=6"))
    stream = run.streams["train"]
    labels = [next(stream).targets.tolist() for _ in range(len(stream))]

    assert stream.labels.bincount().tolist() == [4, 2]
    assert sorted(label for batch in labels for label in batch) == [0, 0, 0, 1, 1, 1]
    assert run.streams["validation"].samples == 6
