"""Names in TensorBoard's files are printable text."""

from firebox.engine.records.tensorboard import TensorBoardWriter
from firebox.foundation.pictures import encode
from tests.handlers.runs import tensorboard_of

HOSTILE = "train/\x1b]0;a\n<b>"


def test_tags_of_scalars_images_and_parameters_are_printable(tmp_path):
    import torch

    writer = TensorBoardWriter(tmp_path)
    writer.add_values({HOSTILE: 1.0, "train/loss": 2.0}, 1)
    writer.add_png(HOSTILE, encode(torch.zeros(1, 2, 2)), (1, 2, 2), 1)
    writer.add_hyper_parameters({HOSTILE: HOSTILE})
    writer.close()
    tags = tensorboard_of(tmp_path).Tags()
    expected = "train/\\x1b]0;a\\n<b>"
    assert tags["scalars"] == [expected, "train/loss"] and tags["images"] == [expected]
    assert b"\x1b]0;" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
