"""Archives on a Hugging Face hub: their addresses, and how they are downloaded. Nothing of them is executed here."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

from firebox.foundation.paths import cache_home
from firebox.foundation.problems import Problem, Refusal, in_one_line, shown
from firebox.foundation.whole_folder import whole_folder

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)", re.ASCII)


def repository_of(address: str) -> str:
    """Returns the repository ``user/name`` of an address ``hf://user/name``.

    Raises:
        Refusal: it is no such address, or the package that speaks to hubs is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise Refusal([Problem("", f"got {shown(address)}, expected hf://USER/NAME")])
    if importlib.util.find_spec("huggingface_hub") is None:
        way_out = "which is not installed: pip install 'firebox[hub]'"
        raise Refusal([Problem("", f"{address} needs the package huggingface_hub, {way_out}")])
    return match[1]


def downloaded(address: str) -> Path:
    """Returns the folder with the archive of a repository, as it is now on the hub; without a connection, as it was
    downloaded last.

    Huggingface's own cache holds links, and archives hold none, so that the archive is copied from there.

    Raises:
        Refusal: there is no such repository, or it can't be reached.
    """
    repository = repository_of(address)
    import huggingface_hub

    try:
        snapshot = Path(huggingface_hub.snapshot_download(repository, allow_patterns=["archived_v*/*"]))
    except Exception as error:  # of the hub's client and of those that it is made of
        raise Refusal([Problem("", f"can't download {address}: {in_one_line(error)}")]) from None
    folder = cache_home() / "hub" / repository.replace("/", "--") / snapshot.name
    if not folder.is_dir():
        try:
            with whole_folder(folder, mark="", overwrite=False) as writing:
                for archive in snapshot.iterdir():
                    shutil.copytree(archive, writing / archive.name)
        except OSError as error:
            raise Refusal([Problem("", f"can't keep {address} in {folder}: {in_one_line(error)}")]) from None
    return folder
