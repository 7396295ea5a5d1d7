"""What the tests of exports share: the archive of a real run on a folder of images."""

from pathlib import Path

import pytest

from firebox.engine.archives.making import archive_run
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.training.limits.stopping import StopRequest
from tests.data.folders_of_images import write_images

CONFIGURATION = """\
trainer: classifier_baseline
seed: 7
datamodule: {name: image_folder, root: images, image_size: [16, 24], batch_size: 8, pixel_range: standardised}
model: {name: classifier_baseline, channels: [4]}
module: {name: classification}
training: {epochs: 1, device: cpu}
handlers: [progress: false, image_dump: false]
"""


@pytest.fixture(scope="session")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a classifier; its images are in ``images`` of the folder that has ``runs``."""
    folder = tmp_path_factory.mktemp("exported")
    write_images(folder / "images", 40)
    file = folder / "configuration.yaml"
    file.write_text(CONFIGURATION)
    assert train(read("classifier_baseline", file, None, [f"output.root={folder / 'runs'}"]), None, StopRequest()) == 0
    return archive_run(folder / "runs" / "image_folder" / "classifier_baseline" / "version_0")
