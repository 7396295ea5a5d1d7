"""Make a folder of your own with a configuration, data, a model, a handler and a test."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Problem, Refusal, in_one_line, shown
from firebox.foundation.whole_folder import whole_folder

FILES = Path(__file__).parent / "project"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder to make, such as my_project")


def run(options: argparse.Namespace) -> int:
    try:
        make_project(options.folder)
    except Refusal as refusal:
        console.refused(refusal)
        return REFUSED
    console.results.print(f"cd {options.folder} && firebox train cae_baseline config.yaml")
    return COMPLETED


def make_project(folder: Path) -> None:
    """Makes a folder with the files of a project, whole or not at all.

    Raises:
        Refusal: something of this name is there, or it can't be written.
    """
    if os.path.lexists(folder):
        raise Refusal([Problem("", f"{shown(str(folder))} is there already; name a folder that is not")])
    try:
        with whole_folder(folder, mark="config.yaml", overwrite=False) as writing:
            for file in FILES.iterdir():
                if file.is_file():
                    shutil.copyfile(file, writing / (".gitignore" if file.name == "gitignore" else file.name))
    except OSError as error:
        raise Refusal([Problem("", f"can't make {shown(str(folder))}: {in_one_line(error)}")]) from None
