"""What lies below a folder besides images and folders of them: links, what can't be read, and unusual names."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from firebox.data.declarations.data_error import DataError
from firebox.data.folders.folders import list_folder
from firebox.data.folders.tree import SUFFIXES

NOBODY = 65534


def _images(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _refused(root: Path) -> str:
    with pytest.raises(DataError) as refused:
        list_folder(root)
    assert str(refused.value).isprintable()
    return str(refused.value)


def _as_nobody(code: str, *arguments: Path) -> str:
    """Runs code as a user without rights, and returns its output."""
    drop = f"import os; os.setgid({NOBODY}); os.setuid({NOBODY})" if os.getuid() == 0 else ""
    lists = "from firebox.data.folders.folders import list_folder"  # imported before the rights are gone
    program = f"import sys\nfrom pathlib import Path\n{lists}\n{drop}\n{textwrap.dedent(code)}"
    told = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False
    )
    assert not told.stderr, told.stderr
    return told.stdout.strip()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    _images(elsewhere / "dogs" / "0.png", elsewhere / "1.png", root / "cat" / "0.png")
    (root / "dog").symlink_to(elsewhere / "dogs")
    (root / "cat" / "1.png").symlink_to(elsewhere / "1.png")
    listing = list_folder(root)

    assert list(listing.names) == ["cat/0.png", "cat/1.png", "dog/0.png"]
    assert listing.classes == ("cat", "dog")
    assert listing.notes == listing.warnings == []


@pytest.mark.parametrize("target", ["..", ".", "../..", "/"])
def test_a_link_to_a_folder_above_multiplies_nothing(target: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    _images(*(root / name / f"{number}.png" for name in ("cat", "dog") for number in range(10)))
    (root / "cat" / "up").symlink_to(target)
    listing = list_folder(root)

    assert len(listing) == 20
    assert listing.notes == ["left out links to a folder above, whose images are samples already: cat/up"]


def test_a_link_at_the_top_to_the_root_itself_is_no_class(tmp_path: Path) -> None:
    _images(tmp_path / "cat" / "0.png")
    (tmp_path / "all").symlink_to(tmp_path)

    assert list_folder(tmp_path).classes == ("cat",)


def test_a_loop_of_links_outside_ends(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    _images(root / "cat" / "0.png", elsewhere / "a" / "0.png")
    (elsewhere / "a" / "back").symlink_to(elsewhere)
    (elsewhere / "home").symlink_to(root)
    (root / "dog").symlink_to(elsewhere)
    listing = list_folder(root)

    assert list(listing.names) == ["cat/0.png", "dog/a/0.png"]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("dog", "cat"),
        ("cat/more", "bird"),
        ("train/cat", "test/cat"),
        ("test", "train"),
        ("test/cat", "train/cat"),
        ("train/deep/er/cat", "val/cat"),
    ],
)
def test_a_folder_of_two_classes_or_splits_is_refused(link: str, target: str, tmp_path: Path) -> None:
    _images(tmp_path / target / "a" / "0.png")
    if "/" in link and "train" in link + target:
        _images(tmp_path / "train" / "a" / "0.png")
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / target)
    said = _refused(tmp_path)

    assert "are the same folder, and would be of two classes or splits" in said
    assert f"{tmp_path / link}" in said
    assert f"{tmp_path / target}" in said


def test_a_folder_that_is_reached_twice_in_one_class_counts_once(tmp_path: Path) -> None:
    _images(tmp_path / "cat" / "a" / "0.png", tmp_path / "dog" / "0.png")
    (tmp_path / "cat" / "b").symlink_to("a")
    listing = list_folder(tmp_path)

    assert list(listing.names) == ["cat/a/0.png", "dog/0.png"]
    assert listing.notes == ["left out cat/b: the same folder as cat/a"]


@pytest.mark.parametrize("hard", [True, False])
def test_a_file_of_two_splits_is_refused(hard: bool, tmp_path: Path) -> None:
    _images(tmp_path / "train" / "0.png", tmp_path / "test" / "0.png")
    if hard:
        (tmp_path / "test" / "1.png").hardlink_to(tmp_path / "train" / "0.png")
    else:
        (tmp_path / "test" / "1.png").symlink_to("../train/0.png")

    assert "test/1.png and " in _refused(tmp_path)
    assert "train/0.png are the same file, by a link, and would be a sample of test and of train" in _refused(tmp_path)


def test_a_file_that_is_twice_in_training_is_told(tmp_path: Path) -> None:
    _images(tmp_path / "cat" / "0.png", tmp_path / "dog" / "0.png")
    (tmp_path / "dog" / "1.png").symlink_to("../cat/0.png")
    listing = list_folder(tmp_path)

    assert len(listing) == 3
    assert listing.warnings == [
        "the same file is a sample more than once, by links, in 1 case, such as cat/0.png and dog/1.png"
    ]


def test_what_is_no_file_is_left_out_without_opening_it(tmp_path: Path) -> None:
    _images(tmp_path / "0.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dog").symlink_to("/nowhere/dog")
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            os.chdir(tmp_path)  # a socket's name is limited to 100 characters
            listening.bind("socket.png")
        finally:
            os.chdir(here)
    listing = list_folder(tmp_path)

    assert list(listing.names) == ["0.png"]
    assert listing.notes == ["left out what has an image's name but is no file: device.png, pipe.png, socket.png"]
    assert listing.warnings == ["left out broken links: dog, gone.png, loop.png"]


def test_other_kinds_hidden_ones_and_folders_of_the_system_are_told(tmp_path: Path) -> None:
    _images(tmp_path / "cat" / "0.png", tmp_path / "cat" / ".1.png", tmp_path / ".thumbnails" / "0.png")
    _images(tmp_path / "cat" / "@eaDir" / "0.png", tmp_path / "__MACOSX" / "cat" / "0.png")
    _images(*(tmp_path / "cat" / name for name in ("1.AVIF", "2.avif", "a.txt", "b.csv", "c.csv", "README")))
    listing = list_folder(tmp_path)

    assert list(listing.names) == ["cat/0.png"]
    assert listing.notes == [
        "left out hidden files or folders: .thumbnails, cat/.1.png",
        "left out files that are no images: 2 .csv, 1 without a suffix, 1 .txt",
        "left out folders of the system: __MACOSX, cat/@eaDir",
    ]
    assert listing.warnings == [
        "left out 2 .avif: these kinds are not read (.png, .jpg, .jpeg, .jfif, .bmp, .gif, .tif, .tiff, .webp are)",
    ]


def test_classes_without_images_in_a_split_are_told(tmp_path: Path) -> None:
    _images(*(tmp_path / "train" / name / "0.png" for name in ("ant", "bee", "cat")), tmp_path / "val/bee/0.png")
    _images(tmp_path / "preview.png")

    assert list_folder(tmp_path).warnings == [
        "val has no images of 2 of 3 classes: ant, cat",
        "left out images that lie beside the splits: preview.png",
    ]


def test_a_class_that_training_does_not_have_is_refused_with_the_closest(tmp_path: Path) -> None:
    _images(tmp_path / "train" / "Cat" / "0.png", tmp_path / "train" / "dog" / "0.png", tmp_path / "test/cat/0.png")

    assert _refused(tmp_path) == (
        f"{tmp_path}/test has cat, but {tmp_path}/train has Cat, dog; did you mean Cat?; "
        "to do without test: --set 'datamodule.splits={train: train}'"
    )


def test_what_holds_no_images_is_told_with_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    _images(*(folder / name for name in ("0.npy", "1.npy", "x/2.npy", "data.zip", ".hidden.png")))
    (folder / "gone.png").symlink_to("nowhere")
    archive = tmp_path / "images.zip"
    archive.touch()

    assert _refused(folder).startswith(
        f"{folder} holds no images ({', '.join(SUFFIXES)}), but 3 .npy, 1 .zip, 1 broken link, 1 hidden; "
    )
    assert _refused(archive).startswith(f"{archive} is a file; datamodule.root names a folder of images")


def test_what_can_not_be_read_is_refused_by_name(open_folder: Path) -> None:
    _images(*(open_folder / name / "0.png" for name in ("ant", "bee", "cat")))
    code = """
    try:
        print(len(list_folder(Path(sys.argv[1]))))
    except ValueError as error:
        print(error)
    """
    assert _as_nobody(code, open_folder) == "3"  # the control

    (open_folder / "ant" / "0.png").chmod(0)
    told = f"{open_folder}/ant/0.png (Permission denied); give yourself the right to read them"
    assert _as_nobody(code, open_folder).startswith(told)

    (open_folder / "bee").chmod(0)
    both = f"{open_folder}/ant/0.png (Permission denied), {open_folder}/bee (Permission denied)"
    told = f"2 files or folders below {open_folder} can't be read: {both}; "
    assert _as_nobody(code, open_folder).startswith(told)
    (open_folder / "bee").chmod(0o744)  # its names can be read, and nothing else
    assert f"{open_folder}/bee/0.png (Permission denied)" in _as_nobody(code, open_folder)
    (open_folder / "bee").chmod(0o755)
    (open_folder / "root").mkdir()
    (open_folder / "root").chmod(0)
    assert _as_nobody(code, open_folder / "root" / "x").startswith(
        f"{open_folder}/root/x can't be read: Permission denied"
    )
    assert _as_nobody(code, open_folder / "root").startswith(f"{open_folder}/root (Permission denied)")


def test_names_that_a_terminal_would_act_on_are_escaped(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9\x1b[31m\n")
    _images(tmp_path / strange / "a\r\udcff.PNG", tmp_path / "cat" / "0.png", tmp_path / "cat" / "x\x07.avif")
    (tmp_path / "cat" / "y\x1b").symlink_to("/nowhere")
    listing = list_folder(tmp_path)

    assert listing.classes == (r"caf\udce9\x1b[31m\n", "cat")
    assert (listing.root / listing.names[0]).is_file()
    assert all(text.isprintable() for text in [*listing.notes, *listing.warnings])
    (tmp_path / "train").symlink_to(tmp_path / strange)
    assert r"train/ is named like a split, but not caf\udce9\x1b[31m\n/" in _refused(tmp_path)


def test_the_order_of_names_is_that_of_their_composed_form(tmp_path: Path) -> None:
    composed = ["b\u00e9.png", "bf.png", "z.png", "\u00e9.png"]
    for form in ("NFC", "NFD"):
        _images(*(tmp_path / form / unicodedata.normalize(form, name) for name in composed))
        found = [unicodedata.normalize("NFC", name) for name in list_folder(tmp_path / form).names]
        assert found == sorted(composed)


def test_classes_are_the_same_in_every_form_of_their_names(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    _images(tmp_path / "train" / nfc / "0.png", tmp_path / "test" / nfd / "0.png")

    assert list_folder(tmp_path).classes == (nfc,)
    _images(tmp_path / "train" / nfd / "0.png")
    assert f"{tmp_path}/train has two folders named {nfc}" in _refused(tmp_path)


def test_classes_that_differ_in_case_alone_are_told(tmp_path: Path) -> None:
    _images(tmp_path / "Cat" / "0.png", tmp_path / "cat" / "0.png", tmp_path / "dog" / "0.png")

    assert list_folder(tmp_path).warnings == ["the classes Cat and cat differ in case alone"]


def test_folders_in_each_other_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(102):
        deep /= "d"
    _images(deep / "0.png")

    assert re.search("lies more than 100 folders below", _refused(tmp_path))
