"""Predicts images of your own by an archived model: classes, masks, values or reconstructions, and embeddings."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from firebox.data.declarations.data_error import DataError
from firebox.data.folders.image_list import COLUMN, list_images
from firebox.data.sources.reading import OnBadFile
from firebox.engine.archives.arguments import archive_parser
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.limits.watch import Overdue
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal, TrainingFailure, counted, printable
from firebox.foundation.whole_folder import whole_folder

logger = logging.getLogger("firebox")


def main(arguments: Sequence[str]) -> int:
    """Predicts as the arguments say; returns the exit code."""
    options = _parser().parse_args(arguments)
    console.start(quiet=False)
    stop = StopRequest()
    with stop.listening():
        try:
            _predict(options, stop)
        except (Interrupted, Overdue):
            console.messages.print(printable(f"stopped; {options.output} was not made"), markup=False)
            return stop.exit_code
        except (DataError, Refusal) as error:
            console.problems(error if isinstance(error, Refusal) else Refusal([Problem("", str(error))]))
            return REFUSED
        except (OSError, TrainingFailure) as error:
            console.messages.print(printable(f"can't predict: {error}"), style="bold red", markup=False)
            return FAILED
        except BaseException as error:
            console.problems(refusal_of(error))
            return REFUSED
    sys.stdout.write(f"{printable(str(options.output))}\n")
    return COMPLETED


def _predict(options: argparse.Namespace, stop: StopRequest) -> None:
    images = list_images(options.images, options.column)
    for note in images.notes:
        logger.info("%s", note)
    for warning in images.warnings:
        logger.warning("%s", warning)
    _require_apart(options.output, images.origin, "the images")
    from firebox.engine.archives.loading import load_model
    from firebox.engine.archives.predicting import ABOUT, Wanted, predict

    archive = load_model(options.archive, options.root, trust_code=options.trust_code)
    _require_apart(options.output, archive.path, "the archive")
    wanted = Wanted(images, options.on_bad_file, options.workers, options.reconstructions)
    with whole_folder(options.output, mark=ABOUT, overwrite=options.overwrite) as folder:
        about = predict(archive, wanted, folder, stop)
    logger.info("predicted %s", counted(about["predicted"], "image"))


def _require_apart(output: Path, other: Path, what: str) -> None:
    """Refuses an output below what is read, which would be read the next time or is never changed, or in its place."""
    there, place = output.expanduser().resolve(), other.resolve()
    if there.is_relative_to(place) or place.is_relative_to(there):
        message = f"--output {output} and {what}, {other}, lie in each other; name another folder"
        raise Refusal([Problem("", message)])


def _parser() -> argparse.ArgumentParser:
    parser = archive_parser("Predicts images by an archived model, without the data that it was trained on.")
    parser.add_argument(
        "images", metavar="IMAGES", type=Path, help="a folder, at any depth; a table (.csv, .tsv) of paths; or an image"
    )
    parser.add_argument("--column", metavar="NAME", help=f"the table's column of paths (default: {COLUMN})")
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, default=Path("predictions"), help="to make (default: predictions)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output of before")
    parser.add_argument(
        "--on-bad-file",
        choices=get_args(OnBadFile),
        default="refuse",
        help="what to do about files that can't be read (default: refuse)",
    )
    parser.add_argument("--workers", metavar="N", type=_count, default=0, help="processes that read ahead (default: 0)")
    parser.add_argument("--reconstructions", action="store_true", help="write each reconstruction as PNG")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


_count.__name__ = "whole number"  # argparse uses this name in its messages

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
