"""Archives that are handed on: a folder with a README, or on a hub, of which the local side is tried."""

import json
import shutil
import socket
import stat
from pathlib import Path

import pytest
import yaml

from firebox import load
from firebox.engine.archives.loading import load_model
from firebox.engine.commands.command_line import main
from firebox.engine.exports.model_card import model_card
from firebox.engine.exports.pushing import push
from firebox.foundation.problems import Refusal


def writable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def front(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def refused(match: str, archive: Path, place: str) -> None:
    with pytest.raises(Refusal, match=match) as caught:
        push(archive, place)
    assert "\n" not in str(caught.value)


def test_a_folder_is_loaded_as_the_archive_and_says_in_its_readme_how(
    archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["push", str(archived), "mine"]) == 0
    assert capsys.readouterr().out == "mine\n"
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["README.md", archived.name]
    one, other = load(archived), load("mine")
    assert other.path == Path("mine") / archived.name
    weights = other.model.state_dict()
    assert all(tensor.equal(weights[name]) for name, tensor in one.model.state_dict().items())

    readme = (tmp_path / "mine/README.md").read_text()
    card = json.loads((archived / "card.json").read_text())
    assert front(readme)["pipeline_tag"] == "image-classification"
    (result,) = front(readme)["model-index"]
    value = card["metrics"]["validation"]["accuracy"]["value"]
    found = next(each for each in result["results"] if each["dataset"]["split"] == "validation")
    assert {"type": "accuracy", "value": value} in found["metrics"]
    assert "firebox.load('mine')" in readme and "trust_code" not in readme
    assert f"| validation | accuracy | {value:.6g} |" in readme
    assert card["version"] in readme

    assert main(["push", str(archived), "mine"]) == 0, "the same again changes nothing"
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    assert main(["push", str(archived), "../mine"]) == 0
    assert (tmp_path / "mine/README.md").read_text() == readme


def test_a_folder_that_holds_something_else_stays_as_it_is(archived: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    push(archived, str(place))
    (place / "archived_v9_2026-01-01").mkdir()
    (place / "archived_v9_2026-01-01/card.json").write_text("{}")
    refused("holds archived_v9_2026-01-01 already", archived, str(place))
    with pytest.raises(Refusal, match="holds 2 archives; name one of: "):
        load(place)
    shutil.rmtree(place / "archived_v9_2026-01-01")
    (place / archived.name / "card.json").write_text("{}")
    refused("is there already, and another archive", archived, str(place))
    shutil.rmtree(place / archived.name)
    (place / "README.md").write_text("# Mine\n")
    refused("README.md is there already, and none of Firebox's", archived, str(place))
    assert [path.name for path in place.iterdir()] == ["README.md"]
    refused("lies in the archive, which is never changed", archived, str(archived / "experiments"))


def test_a_damaged_archive_is_not_handed_on_and_one_damaged_on_its_way_not_loaded(
    archived: Path, tmp_path: Path
) -> None:
    push(archived, str(tmp_path / "place"))
    copy = tmp_path / "place" / archived.name
    with (copy / "config.yaml").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(Refusal, match=r"config\.yaml: its SHA-256 is not the card's"):
        load(tmp_path / "place")
    refused(r"config\.yaml: its SHA-256 is not the card's", copy, str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_text_of_a_card_is_nothing_but_text_in_the_readme(archived: Path) -> None:
    card = json.loads((archived / "card.json").read_text())
    card["signature"]["classes"] = ["<script>alert(1)</script>", "a|b\n# c"]
    card["files"]["code/own.py"] = {"sha256": "0" * 64, "bytes": 1}
    card["license"] = "mit\n---\n# no"
    text = model_card(card, "hf://user/name")
    assert "classes: \\<script\\>alert(1)\\</script\\>, a\\|b \\# c" in text
    assert front(text)["license"] == "mit --- # no"
    assert "firebox.load('hf://user/name', trust_code=True)" in text
    assert f"- `code/own.py`, SHA-256 `{'0' * 64}`" in text


@pytest.fixture
def hub(archived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's own cache with a repository, as a download leaves it, without a connection from then on."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    def no_network(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(socket.socket, "connect", no_network)
    commit = "a" * 40
    place = tmp_path / "cache/models--user--name"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text(commit)
    (place / "blobs").mkdir()
    for number, file in enumerate(sorted(path for path in archived.rglob("*") if path.is_file())):
        shutil.copyfile(file, place / f"blobs/{number}")
        link = place / "snapshots" / commit / archived.name / file.relative_to(archived)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place / f"blobs/{number}")


@pytest.mark.usefixtures("hub")
def test_a_repository_that_was_downloaded_loads_without_a_connection(archived: Path) -> None:
    found = load("hf://user/name")
    assert found.card == load_model(archived).card
    assert not [path for path in found.path.rglob("*") if path.is_symlink()]
    assert load("hf://user/name").path == found.path
    # What was changed in it since is noticed, as in any archive.
    (found.path / "config.yaml").write_text("")
    with pytest.raises(Refusal, match="its SHA-256 is not the card's"):
        load("hf://user/name")


@pytest.mark.usefixtures("hub")
def test_without_a_connection_a_push_and_a_download_are_refused_in_one_line(archived: Path, tmp_path: Path) -> None:
    refused(
        "can't push to hf://user/name: .*offline.*a push needs a connection, and a login", archived, "hf://user/name"
    )
    with pytest.raises(Refusal, match="can't download hf://user/other: ") as caught:
        load("hf://user/other")
    assert "\n" not in str(caught.value)
    for address in ("hf://user", "hf://user/../name", "hf://user/name/below"):
        refused("expected hf://USER/NAME", archived, address)
    assert not list(tmp_path.glob("xdg/firebox/hub/*"))
