"""firebox schema: writes what editors and people read."""

import json

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration.schema import DRAFT
from firebox.foundation.package import ROOT


def test_the_schema_goes_to_standard_output(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == DRAFT


@pytest.mark.parametrize(
    ("options", "committed"),
    [([], ROOT / "configs" / "schema.json"), (["--markdown"], ROOT / "docs" / "configuration.md")],
)
def test_a_file_is_written_as_it_is_committed(tmp_path, options, committed):
    path = tmp_path / "written"
    assert main(["schema", *options, "--output", str(path)]) == 0
    assert path.read_text() == committed.read_text()
