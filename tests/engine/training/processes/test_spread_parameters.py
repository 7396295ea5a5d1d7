"""The layers of a model whose weights are gathered together."""

from torch import nn

from firebox.engine.training.processes.spread_parameters import units


class Transformer(nn.Module):
    """The usual form: what surrounds blocks in a list, one of them with a list of its own."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(4, 4)
        self.body = nn.Module()
        self.body.blocks = nn.ModuleList([nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 4)]), nn.ReLU()])
        self.heads = nn.ModuleDict({"class": nn.Linear(4, 2)})
        self.activation = nn.ReLU()


def test_blocks_come_before_what_holds_them_and_lists_are_no_layers():
    model = Transformer()
    blocks = model.body.blocks
    assert units(model) == [blocks[0], blocks[1][0], model.heads["class"], model.embedding, model.body]
