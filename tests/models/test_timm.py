"""Networks of timm: by name, with weights from a file that can hold no code, for classes and for masks."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from firebox.models.timm import Timm

timm = pytest.importorskip("timm")
SMALL = "resnet10t"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights as timm publishes them: of three channels and 1,000 classes."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file({name: value.clone() for name, value in timm.create_model(SMALL).state_dict().items()}, path)
    return path


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 33, 47)])
def test_the_output_is_one_vector_or_one_for_each_pixel(shape):
    images = torch.rand(2, *shape)
    classes = Timm(shape, 5, architecture=SMALL).eval()
    pixels = Timm(shape, 5, architecture=SMALL, output="pixels").eval()
    assert classes(images).shape == (2, 5)
    assert pixels(images).shape == (2, 5, *shape[1:])
    assert classes.embed(images).shape == pixels.embed(images).shape == (2, classes.network.num_features)


@pytest.mark.parametrize("output", ["class", "pixels"])
def test_weights_of_a_file_are_taken_but_for_the_last_layer(weights, output):
    model = Timm((3, 32, 32), 5, architecture=SMALL, weights=str(weights), output=output)
    published = timm.create_model(SMALL, num_classes=0)
    published.load_state_dict(torch_state(weights), strict=False)
    for name, value in model.network.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(value, published.state_dict()[name]), name


def test_weights_of_colour_images_are_adapted_to_grey_ones(weights):
    model = Timm((1, 32, 32), 5, architecture=SMALL, weights=str(weights))
    first = next(name for name, value in model.network.state_dict().items() if value.ndim == 4)
    expected = torch_state(weights)[first].sum(1, keepdim=True)
    torch.testing.assert_close(model.network.state_dict()[first], expected)


def torch_state(path):
    from safetensors.torch import load_file

    return load_file(path)


def test_gradient_reaches_every_parameter_of_encoder_and_decoder():
    model = Timm((1, 32, 32), 3, architecture=SMALL, output="pixels")
    target = torch.arange(2 * 32 * 32).view(2, 32, 32) % 3
    torch.nn.functional.cross_entropy(model(torch.rand(2, 1, 32, 32)), target).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("resnt18", r'architecture: got "resnt18", expected a network of timm .*; did you mean resnet18\?'),
        ("hf-hub:timm/resnet18", "expected a network of timm"),
        ("local-dir:/tmp", "expected a network of timm"),
        ("resnet18.unknown_tag", 'architecture: got "resnet18.unknown_tag": .*Invalid pretrained tag'),
    ],
)
def test_what_is_no_network_of_timm_is_refused_and_nothing_is_downloaded(architecture, message):
    with pytest.raises(ValueError, match=message):
        Timm((3, 32, 32), 5, architecture=architecture)


def test_weights_that_can_hold_code_are_refused(tmp_path):
    pickled = tmp_path / "weights.safetensors"
    torch.save(timm.create_model(SMALL).state_dict(), pickled)
    with pytest.raises(
        ValueError, match=r"weights: .* can't be read, expected a safetensors file: others can hold code"
    ):
        Timm((3, 32, 32), 5, architecture=SMALL, weights=str(pickled))


def test_weights_that_are_not_there_or_do_not_fit_are_refused(tmp_path, weights):
    with pytest.raises(ValueError, match=r"weights: no such file: .*nowhere"):
        Timm((3, 32, 32), 5, architecture=SMALL, weights=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^weights: "):
        Timm((3, 32, 32), 5, architecture="resnet14t", weights=str(weights))
    other = tmp_path / "resnet18.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), other)
    with pytest.raises(ValueError, match=r"^weights: .* lacks \d+ tensors of resnet34, such as layer"):
        Timm((3, 32, 32), 5, architecture="resnet34", weights=str(other))


def test_data_without_a_target_is_refused():
    with pytest.raises(ValueError, match="needs data whose samples have a target, got none"):
        Timm((3, 32, 32), 0, architecture=SMALL)


def test_without_timm_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r'needs timm, .*: pip install "firebox\[timm\]"'):
        Timm((3, 32, 32), 5, architecture=SMALL)


def test_a_run_begins_with_weights_and_its_archive_needs_their_file_no_more(tmp_path, weights, capsys):
    from firebox.engine.archives.loading import load_archive
    from firebox.engine.commands.command_line import main

    file = tmp_path / "weights.safetensors"
    file.write_bytes(weights.read_bytes())
    (tmp_path / "config.yaml").write_text(
        f"""\
trainer: unet_baseline
datagenerator: {{name: shapes, target: mask, train_length: 16, validation_length: 8, test_length: 8, batch_size: 8}}
model: {{name: timm, architecture: {SMALL}, weights: weights.safetensors, output: pixels}}
module: {{name: segmentation}}
training: {{epochs: 1, device: cpu}}
output: {{root: {tmp_path / "runs"}}}
"""
    )
    assert main(["train", "unet_baseline", str(tmp_path / "config.yaml")]) == 0, capsys.readouterr().err
    run = capsys.readouterr().out.splitlines()[-1]
    file.unlink()
    assert main(["archive", run]) == 0, capsys.readouterr().err
    archive = load_archive(capsys.readouterr().out.splitlines()[-1])
    assert archive.model.embed(torch.rand(2, 1, 32, 32)).shape == (2, 512)
