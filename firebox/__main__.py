"""``python -m firebox``: the same as the command ``firebox``."""

import sys

from firebox.engine.commands.command_line import main

sys.exit(main())
