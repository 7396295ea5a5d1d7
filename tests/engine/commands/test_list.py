"""firebox list."""

import subprocess
import sys

from firebox.engine.components.catalogue import CATALOGUES, catalogue


def test_lists_every_component_with_one_line_and_imports_no_torch() -> None:
    code = (
        "import sys, firebox.engine.commands.command_line as shell; shell.main(['list']); print('torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    lines = output.splitlines()
    listed: dict[str, str] = {}
    for line in lines:
        name, _, summary = line.strip().partition(" ")
        if line.startswith("  "):
            listed[name] = summary.strip()
    for kind in CATALOGUES:
        assert ("losses" if kind == "loss" else f"{kind}s") in [line.strip() for line in lines]
        for name in catalogue(kind):
            assert listed[name], name
    assert listed["checkpoint"].endswith("(by default)")
    assert lines[-1] == "False"
