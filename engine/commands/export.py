"""Export an archived model to ONNX, torch.export or safetensors, its preprocessing inside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firebox.engine.archives.arguments import add_archive_options
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.places import refusal_of


def add_options(parser: argparse.ArgumentParser) -> None:
    add_archive_options(parser)
    parser.add_argument(
        "--to",
        choices=("onnx", "torch_export", "safetensors"),
        required=True,
        help="the format; safetensors holds weights alone",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="to write (default: called as the archive, in the working directory)",
    )


def run(options: argparse.Namespace) -> int:
    from firebox.engine.archives.loading import load_model
    from firebox.engine.exports.exporting import export

    console.start(quiet=False)
    try:
        archive = load_model(options.archive, options.root, trust_code=options.trust_code)
        file = export(archive, options.to, options.output)
    except BaseException as error:
        console.problems(refusal_of(error))
        return REFUSED
    sys.stdout.write(f"{file}\n")
    return COMPLETED
