"""The commands of ``firebox``: name -> module; each has ``add_options(parser)`` and ``run(options)``, an exit code.

A module's docstring is the command's help. It imports torch only where its own work needs it. Imports every other room;
add one command per file, with a line in the catalogue here.
"""

CATALOGUE = {
    "new": "firebox.engine.commands.new",
    "train": "firebox.engine.commands.train",
    "find-lr": "firebox.engine.commands.find_lr",
    "sweep": "firebox.engine.commands.sweep",
    "archive": "firebox.engine.commands.archive",
    "export": "firebox.engine.commands.export",
    "push": "firebox.engine.commands.push",
    "runs": "firebox.engine.commands.runs",
    "compare": "firebox.engine.commands.compare",
    "report": "firebox.engine.commands.report",
    "list": "firebox.engine.commands.list",
    "data": "firebox.engine.commands.data",
    "config": "firebox.engine.commands.config",
    "schema": "firebox.engine.commands.schema",
    "replay": "firebox.engine.commands.replay",
    "completion": "firebox.engine.commands.completion",
}
