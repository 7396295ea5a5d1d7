"""The fixed tree of additions."""

import pytest
import torch

from firebox.engine.world.tree import Tree


def total(addends):
    tree = Tree()
    for addend in addends:
        tree.add([addend.clone()])
    return tree.take()[0]


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_sums_of_contiguous_parts_are_subtrees_of_the_sum_of_all(parts):
    addends = torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)).unbind()
    size = 8 // parts
    of_parts = [total(addends[start : start + size]) for start in range(0, 8, size)]
    assert torch.equal(total(of_parts), total(addends))


def test_another_order_of_additions_gives_other_bits():
    addends = torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)).unbind()
    one_after_another = addends[0].clone()
    for addend in addends[1:]:
        one_after_another += addend
    assert not torch.equal(total(addends), one_after_another)


def test_what_is_missing_counts_as_zeros_and_stays_missing_where_all_miss_it():
    tree = Tree()
    tree.add([None, torch.tensor([1.0]), None])
    tree.add([torch.tensor([-0.0]), torch.tensor([2.0]), None])
    added, both, missing = tree.take()
    assert str(added.item()) == "0.0", "as 0.0 + -0.0 in another process"
    assert both.item() == 3.0
    assert missing is None
