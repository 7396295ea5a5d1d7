"""Exported models: equal to the archived ones, whatever the number of images, or not there at all."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Labels, Mask, Target, Values
from firebox.engine.archives.archive import Archive
from firebox.engine.archives.decoding import decoder_for
from firebox.engine.archives.loading import load_model
from firebox.engine.commands.command_line import main
from firebox.engine.exports import exporting
from firebox.engine.exports.exporting import export
from firebox.engine.exports.formats import FORMATS, ONNX, TorchExport
from firebox.engine.exports.standalone import Exported, exported
from firebox.experiments.predict import main as predict
from firebox.foundation.files import digest
from firebox.foundation.problems import Refusal
from tests.engine.exports.archives import archive_of
from tests.soaking import soak

STANDARDISED = ImageSpecification(
    (3, 16, 16), "standardised", classes=("a", "b", "c"), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)
)
SMALL = "model.channels=[4]"
TRAINERS = {
    "cae_baseline": ImageSpecification((1, 14, 14)),
    "vae_baseline": ImageSpecification((1, 13, 17)),
    "classifier_baseline": STANDARDISED,
    "unet_baseline": ImageSpecification((3, 15, 18), "[-1,1]", target=Mask(("a", "b"))),
    "restoration_baseline": ImageSpecification((1, 15, 18), target=TargetImage(ImageSpecification((1, 15, 18)))),
    "denoising_baseline": ImageSpecification((1, 16, 16)),
    "vqvae_baseline": ImageSpecification((1, 16, 16)),
    "gan_baseline": ImageSpecification((1, 14, 14), "[-1,1]"),
}

QUICK = ("cae_baseline", "unet_baseline", "vqvae_baseline")
"""Those whose layers are not those of another one, or of the classifier, which the command exports."""


def given(trainer: str, count: int) -> torch.Tensor:
    """Returns inputs that the export itself has not seen."""
    drawn = torch.Generator().manual_seed(count)
    if trainer == "gan_baseline":
        return torch.randn(count, 64, generator=drawn)
    return torch.randint(0, 256, (count, *TRAINERS[trainer].shape), dtype=torch.uint8, generator=drawn)


def expected(archive: Archive, inputs: torch.Tensor) -> torch.Tensor:
    """Returns what a model predicts, computed from its parts here."""
    specification, module = archive.specification, archive.module
    with torch.no_grad():
        if inputs.dim() == 2:
            return (archive.model.generator(inputs) + 1) / 2
        images = inputs.float() / 255
        if specification.pixel_range == "[-1,1]":
            images = images * 2 - 1
        if specification.pixel_range == "standardised":
            images = (images - torch.tensor(specification.mean).view(-1, 1, 1)) / torch.tensor(specification.std).view(
                -1, 1, 1
            )
        output = archive.model(images)
        if module.output_kind == "class_logits":
            return output.softmax(1)
        if module.output_kind == "pixel_logits":
            return output.sigmoid()
        return output if module.output_kind == "mask_logits" else output.clamp(0, 1)


@pytest.mark.parametrize("trainer", [pytest.param(name, marks=() if name in QUICK else soak) for name in TRAINERS])
def test_onnx_equals_what_is_predicted_for_any_number_of_images(trainer: str, tmp_path: Path) -> None:
    import onnxruntime

    archive = archive_of(trainer, TRAINERS[trainer], SMALL)
    file = export(archive, "onnx", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    about = json.loads((tmp_path / "model.onnx.json").read_text())
    for count in (1, 3):
        inputs = given(trainer, count)
        (output,) = session.run([about["output"]["name"]], {about["input"]["name"]: inputs.numpy()})
        wanted = expected(archive, inputs)
        assert torch.from_numpy(output) == pytest.approx(wanted, abs=1e-5 * max(1, wanted.abs().max().item()))
        assert list(output.shape[1:]) == about["output"]["shape"][1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]
    assert about["sha256"] == digest(file)
    assert about["classes"] == list(archive.classes)
    assert about["input"]["shape"] == ["N", *inputs.shape[1:]]
    assert about["archive"]["sha256_of_card"] == archive.card["seal"]


def test_a_program_of_torch_equals_what_is_predicted_for_any_number_of_images(tmp_path: Path) -> None:
    trainer = "gan_baseline"
    archive = archive_of(trainer, TRAINERS[trainer], SMALL)
    program = torch.export.load(export(archive, "torch_export", tmp_path / "model.pt2")).module()
    for count in (1, 3):
        assert torch.allclose(program(given(trainer, count)), expected(archive, given(trainer, count)), atol=1e-5)


@pytest.mark.parametrize(
    ("module", "target", "meant"),
    [
        (
            "regression",
            Values(("mass", "age"), mean=(200.0, 30.0), std=(40.0, 5.0)),
            lambda output: output * torch.tensor([40.0, 5.0]) + torch.tensor([200.0, 30.0]),
        ),
        ("multilabel", Labels(("sun", "sea")), torch.sigmoid),
    ],
)
def test_values_are_in_the_datas_units_and_images_in_the_range_that_they_are_read_in(
    module: str, target: Target, meant: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    specification = ImageSpecification((2, 8, 8), value_range=(0, 4095), target=target)
    archive = archive_of(
        "classifier_baseline", specification, SMALL, f"module={{name: {module}}}", decoding={"dtype": "uint16"}
    )
    program = torch.export.load(export(archive, "torch_export", tmp_path / "model.pt2")).module()
    images = torch.randint(0, 4096, (3, 2, 8, 8)).to(torch.uint16)
    with torch.no_grad():
        assert torch.allclose(program(images), meant(archive.model(images.float() / 4095)), rtol=1e-6)
    about = json.loads((tmp_path / "model.pt2.json").read_text())
    assert about["input"]["dtype"] == "uint16"
    assert about["input"]["meaning"] == "pixels as they are read, in 0..4095"
    assert tuple(about["output"]["names"]) == target.names


def test_the_command_gives_what_predict_gives_of_the_same_files(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    monkeypatch.chdir(tmp_path)
    images = archived.parent.parent.parent / "images" / "ant"
    assert predict([str(archived), str(images)]) == 0
    capsys.readouterr()
    assert main(["export", str(archived), "--to", "onnx"]) == 0
    file = Path(capsys.readouterr().out.splitlines()[-1])
    about = json.loads(Path(f"{file}.json").read_text())
    assert str(file) == f"image_folder_{archived.name}.onnx"
    assert about["output"]["names"] == about["classes"] == ["ant", "bee"]

    archive = load_model(archived)
    decoder = decoder_for(archived, archive.card, archive.specification)
    rows = list(csv.DictReader((tmp_path / "predictions/predictions.csv").read_text().splitlines()))
    samples = torch.stack([decoder(images / row["file"]) for row in rows]).numpy()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"images": samples})
    assert output == pytest.approx(
        torch.tensor([[float(row["p(ant)"]), float(row["p(bee)"])] for row in rows]).numpy(), abs=1e-5
    )


def test_safetensors_hold_the_archived_weights_and_say_how_to_preprocess(archived: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    file = export(load_model(archived), "safetensors", tmp_path / "model.safetensors")
    with safe_open(file, "pt") as weights, safe_open(archived / "weights.safetensors", "pt") as kept:
        assert sorted(weights.keys()) == sorted(kept.keys())
        assert all(torch.equal(weights.get_tensor(name), kept.get_tensor(name)) for name in kept.keys())  # noqa: SIM118 - no dict
        assert json.loads(weights.metadata()["preprocessing"])["pixel_range"] == "standardised"


class Other(TorchExport):
    """A converter that computes something slightly else."""

    def write(self, exported: Exported, file: Path) -> dict[str, object]:
        with torch.no_grad():
            exported.network.model.head[-1].bias[0] += 1e-3
        return super().write(exported, file)


def test_a_file_that_computes_something_else_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "torch_export", Other())
    archive = archive_of("classifier_baseline", STANDARDISED, SMALL)
    with pytest.raises(Refusal, match=r"computes something else: outputs differ by up to .*; nothing was written"):
        export(archive, "torch_export", tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_exported_is_refused_in_one_line_and_leaves_nothing(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = load_model(archived)

    def refused(match: str, name: str, output: Path) -> None:
        before = sorted(tmp_path.iterdir())
        with pytest.raises(Refusal, match=match) as caught:
            export(archive, name, output)
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before

    (tmp_path / "there").touch()
    refused("is there already; name another file by --output", "onnx", tmp_path / "there")
    refused("can't write .*: File exists", "safetensors", tmp_path / "there/below")
    monkeypatch.setattr(ONNX, "needs", ("onnx", "no_such_package"))
    refused(
        r"--to onnx needs no_such_package, not installed here: pip install 'firebox\[onnx\]'", "onnx", tmp_path / "a"
    )
    monkeypatch.setattr(archive.model, "forward", lambda images: images if images.sum() > 0 else -images)
    refused("torch.export can't follow ClassifierBaseline: ", "torch_export", tmp_path / "b")
    monkeypatch.setattr(type(archive.module), "output_kind", None)
    refused(
        "says that its output is None, .*; --to safetensors exports the weights alone", "torch_export", tmp_path / "c"
    )
    refused("lies in the archive, which is never changed", "safetensors", archived / "experiments/model.safetensors")


def test_a_model_that_predicts_nothing_of_images_is_refused_with_the_reason(tmp_path: Path) -> None:
    archive = archive_of("diffusion_baseline", ImageSpecification((1, 16, 16), "[-1,1]"))
    with pytest.raises(Refusal, match="FlowMatching says that its output is noise, which predicts nothing of images"):
        export(archive, "onnx", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_formats_are_those_of_the_command() -> None:
    assert set(exporting.NAMES) == {"onnx", "torch_export", "safetensors"}
    assert exported(archive_of("cae_baseline", TRAINERS["cae_baseline"], SMALL)).gives.name == "reconstructions"
