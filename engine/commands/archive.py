"""Turn a validated run into an archive that is kept for good."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None: ...


def run(options: argparse.Namespace) -> int:
    raise NotImplementedError
