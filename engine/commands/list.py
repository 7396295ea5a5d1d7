"""List trainers, models, datamodules, datagenerators, modules, losses, optimizers, schedulers and handlers."""

from __future__ import annotations

import argparse

from rich.table import Table
from rich.text import Text

from firebox.engine.commands.train import trainers
from firebox.engine.components.catalogue import Kind, catalogue, default_handlers, find
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED

KINDS: tuple[Kind, ...] = (
    "model", "datamodule", "datagenerator", "module", "loss", "optimizer", "scheduler", "handler",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None: ...


def run(options: argparse.Namespace) -> int:  # noqa: ARG001
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    _add_family(table, "trainers", {name: trainer.summary for name, trainer in trainers().items()})
    for kind in KINDS:
        title = f"{kind}es" if kind.endswith("s") else f"{kind}s"
        _add_family(table, title, {name: find(kind, name).signature.summary for name in catalogue(kind)})
    console.tabulate(table)
    return COMPLETED


def _add_family(table: Table, title: str, summaries: dict[str, str]) -> None:
    if table.row_count:
        table.add_row()
    table.add_row(Text(title, style="bold"))
    for name, summary in sorted(summaries.items()):
        attached = " (by default)" if title == "handlers" and name in default_handlers() else ""
        table.add_row(
            f"  {name}",
            f"{summary}{attached}",
        )
