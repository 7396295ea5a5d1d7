"""Write the JSON schema of configuration files, or their reference as Markdown."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from firebox.engine.configuration.documentation import markdown
from firebox.engine.configuration.schema import schema
from firebox.foundation.exit_codes import COMPLETED


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", type=Path, help="file to write (default: standard output)")
    parser.add_argument("--markdown", action="store_true", help="write the reference of all keys instead")


def run(options: argparse.Namespace) -> int:
    text = markdown() if options.markdown else schema_text()
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, encoding="utf-8")
    return COMPLETED


def schema_text() -> str:
    """Returns the text of the schema's file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
