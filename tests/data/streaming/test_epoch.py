"""How an epoch is divided into batches, and a batch into microbatches."""

import pytest
import torch

from firebox.data.streaming.epoch import batch_sizes, batches_in_epoch, microbatch_sizes


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("length", "batch_size"), [(10, 4), (8, 4), (3, 4), (1, 1), (9, 1)])
def test_the_sizes_and_the_number_of_batches_are_those_that_torch_makes(length, batch_size, drop_last):
    loader = torch.utils.data.DataLoader(range(length), batch_size, drop_last=drop_last)
    made = [len(batch) for batch in loader]

    assert batch_sizes(length, batch_size, drop_last=drop_last) == list(dict.fromkeys(made))
    assert batches_in_epoch(length, batch_size, drop_last=drop_last) == len(made)


@pytest.mark.parametrize(
    ("images", "accumulation", "sizes"), [(10, 3, [4, 2]), (9, 3, [3]), (10, 1, [10]), (5, 9, [1])]
)
def test_the_sizes_of_microbatches_are_those_that_torch_makes(images, accumulation, sizes):
    assert microbatch_sizes(images, accumulation) == sizes
    made = [len(microbatch) for microbatch in torch.zeros(images).chunk(accumulation)]
    assert list(dict.fromkeys(made)) == sizes


def test_it_is_told_without_torch():
    import subprocess
    import sys

    code = "import sys, firebox.data.streaming.epoch; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
