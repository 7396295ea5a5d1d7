"""Archives and runs, read from Python as the documents show it."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import firebox

DOCUMENT = Path(__file__).parents[3] / "docs" / "python.md"
CONFIGURATION = """\
trainer: classifier_baseline
datamodule: {name: fashion_mini, batch_size: 40, limit: 80, pixel_range: "[-1,1]"}
model: {name: classifier_baseline, channels: [2]}
module: {name: classification}
training: {epochs: 1, device: cpu}
handlers:
  - image_dump: false
  - loss_plot: false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the scripts of the document have run, up to the archive that they name."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "my_config.yaml").write_text(CONFIGURATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        scripts = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert len(scripts) == 4
        for script in scripts[:2]:
            exec(compile(script.replace("range(5)", "range(1)"), "python.md", "exec"), {"firebox": firebox})
        (folder / "image.png").write_bytes(b"")
        sample = firebox.build("my_config.yaml", quiet=True).data.read("test").images[3]
        Image.fromarray(sample[0].numpy()).save(folder / "image.png")
        archive = firebox.archive_run(Path("runs/fashion_mini/classifier_baseline/version_0"))
    return folder, scripts[2:], archive, sample


def test_the_documented_scripts_predict_and_list(folder, capsys, monkeypatch):
    path, (predicting, listing), archive, _ = folder
    monkeypatch.chdir(path)
    predicting = predicting.replace("archived_v1_2026-11-24", archive.name)
    exec(compile(predicting, "python.md", "exec"), {"firebox": firebox})
    assert capsys.readouterr().out.strip() in firebox.load(archive).classes
    exec(compile(listing, "python.md", "exec"), {"firebox": firebox})
    assert capsys.readouterr().out.count("runs/fashion_mini/classifier_baseline/version_") == 2


def test_preprocessing_gives_the_models_input(folder):
    path, _, place, sample = folder
    archive = firebox.load(place)
    images = archive.preprocess(path / "image.png", str(path / "image.png"))
    expected = (sample.float() / 255 - 0.5) / 0.5
    assert images.shape == (2, 1, 28, 28)
    torch.testing.assert_close(images[1], expected)
    assert not archive.model.training


def test_a_file_that_is_no_image_is_refused(folder, tmp_path):
    (tmp_path / "image.png").write_text("text")
    with pytest.raises(firebox.Refusal, match=r"image\.png"):
        firebox.load(folder[2]).preprocess(tmp_path / "image.png")
