"""Hands an archive on: into a folder, or to a Hugging Face hub, with a README. Nothing of it is executed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from firebox.engine.archives.finding import NAME, held_by
from firebox.engine.archives.hub import SCHEME, repository_of
from firebox.engine.exports.model_card import LIBRARY, README, model_card
from firebox.engine.exports.standalone import refusal
from firebox.engine.records.sealing import CARD, SEAL, parsed
from firebox.engine.records.verification import verified
from firebox.foundation.files import write_whole
from firebox.foundation.problems import in_one_line
from firebox.foundation.whole_folder import whole_folder

logger = logging.getLogger("firebox")


def push(archive: Path, place: str) -> str:
    """Hands an archive on, without the findings of experiments.

    Args:
        archive: the archive's folder.
        place: a folder, or ``hf://user/name``: a repository, which is made, private, if there is none.

    Returns:
        What ``firebox.load`` is to be given.

    Raises:
        Refusal: the archive is damaged, the place holds another one, or it can't be reached. Nothing half-made stays.
    """
    card = verified(archive)
    name = str(card["name"]).rpartition("/")[2]
    if not NAME.fullmatch(name):
        raise refusal(
            f"{archive / CARD}: name ends in {name!r}, expected that of an archive, such as archived_v1_2026-11-24"
        )
    if place.startswith(SCHEME):
        _upload(archive, card, name, place)
        return place
    folder = Path(place)
    try:
        _put(archive, card, name, folder)
    except OSError as error:
        raise refusal(f"can't write {folder}: {in_one_line(error)}") from None
    return str(folder)


def _put(archive: Path, card: Mapping[str, Any], name: str, folder: Path) -> None:
    if folder.resolve().is_relative_to(archive.resolve()):
        raise refusal(f"{folder} lies in the archive, which is never changed; name another folder")
    others = [path for path in held_by(folder) if path.name != name] if folder.is_dir() else []
    if others:
        raise refusal(f"{folder} holds {others[0].name} already; name another folder, or remove that")
    readme, final = folder / README, folder / name
    if readme.exists() and LIBRARY not in readme.read_text(encoding="utf-8", errors="replace"):
        raise refusal(f"{readme} is there already, and none of Firebox's; name another folder, or remove it")
    if not final.exists():
        with whole_folder(final, mark=CARD, overwrite=False) as writing:
            _copy(archive, card, writing)
            verified(writing)
    elif final.resolve() != archive.resolve() and _seal(final) != card[SEAL]:
        raise refusal(f"{final} is there already, and another archive; name another folder, or remove it")
    write_whole(readme, model_card(card, folder.resolve().name))


def _upload(archive: Path, card: Mapping[str, Any], name: str, address: str) -> None:
    repository = repository_of(address)
    import huggingface_hub

    with TemporaryDirectory(prefix="firebox_") as folder:
        _copy(archive, card, Path(folder) / name)
        (Path(folder) / README).write_text(model_card(card, address), encoding="utf-8")
        try:
            hub = huggingface_hub.HfApi()
            # Private, as a card says where and on what machine its model was trained.
            hub.create_repo(repository, private=True, exist_ok=True)
            # An archive takes the place of the one before, which stays in the repository's history.
            hub.upload_folder(
                repo_id=repository,
                folder_path=folder,
                delete_patterns=["archived_v*/*"],
                commit_message=f"{card['name']} {card['version'][:12]}",
            )
        except Exception as error:  # of the hub's client and of those that it is made of
            way_out = "a push needs a connection, and a login: hf auth login"
            raise refusal(f"can't push to {address}: {in_one_line(error)}; {way_out}") from None


def _copy(archive: Path, card: Mapping[str, Any], folder: Path) -> None:
    for name in (CARD, *card["files"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(archive / name, folder / name)


def _seal(archive: Path) -> Any:
    try:
        return parsed(archive / CARD).get(SEAL)
    except (OSError, ValueError):
        return None
