"""The commands of ``firebox``: name -> module; each has ``add_options(parser)`` and ``run(options)``, an exit code.

A module's docstring is the command's help. It imports torch only where its own work needs it.
"""

CATALOGUE = {
    "train": "engine.commands.train",
    "archive": "engine.commands.archive",
    "runs": "engine.commands.runs",
    "list": "engine.commands.list",
    "config": "engine.commands.config",
    "schema": "engine.commands.schema",
    "replay": "engine.commands.replay",
}
