"""What a shell is offered while a command is typed."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firebox.engine.commands.completion import SHELLS, assignments
from firebox.engine.commands.train import trainers


def offered(prefix, *before, trainer="cae_baseline", config=None):
    options = argparse.Namespace(trainer=trainer, config=config, set=list(before))
    return assignments(prefix, options)


def test_keys_of_all_sections_are_offered_and_those_of_the_trainers_own_components():
    keys = offered("")
    assert {"seed=", "training.epochs=", "datamodule.batch_size=", "module.loss=", "output.root="} <= set(keys)
    assert "handlers.early_stopping.patience=" in keys
    assert "model.latent_dim=" in keys and "model.kernel_size=" not in keys
    assert len(keys) == len(set(keys))
    assert offered("training.prec") == ["training.precision="]


def test_settings_follow_the_components_that_the_command_line_and_the_configuration_name(tmp_path):
    assert "module.beta=" in offered("module.", trainer="vae_baseline")
    assert "module.beta=" not in offered("module.")
    assert "module.beta=" in offered("module.", "module.name=variational")
    config = tmp_path / "mine.yaml"
    config.write_text("model: {name: timm}\n")
    assert "model.architecture=" in offered("model.", config=config)
    config.write_text("model: [\n")
    assert "model.architecture=" in offered("model.", config=config), "of all models, if the file can't be read"


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("training.precision=", {"float32", "bfloat16", "float16"}),
        ("training.compile=", {"true", "false"}),
        ("module.loss=", {"mse", "bce", "l1"}),
        ("training.epochs=", {"10"}),
        ("no.such_key=", set()),
    ],
)
def test_values_are_those_that_the_schema_lists_or_the_default(prefix, values):
    assert {value.removeprefix(prefix) for value in offered(prefix)} >= values
    assert bool(offered(prefix)) == bool(values)


def test_every_key_that_is_offered_is_a_key_that_is_read(capsys):
    from firebox.engine.commands.command_line import main

    for key in offered(""):
        main(["config", str(trainers()["cae_baseline"].default), "--set", f"{key}[[]]"])
        said = capsys.readouterr().err
        assert "unknown" not in said and "did you mean" not in said, (key, said)


@pytest.fixture
def shell(tmp_path):
    """Runs a script in a shell that finds the command, beside a configuration; returns the lines it prints."""
    (tmp_path / "mine.yaml").write_text("trainer: cae_baseline\n")
    command = tmp_path / "bin" / "firebox"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m firebox "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path.cwd()), "HOME": str(tmp_path)}

    def lines(name, text):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")
        (tmp_path / "script").write_text(text)
        done = subprocess.run(
            [name, "script"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    return lines


def test_bash_completes_commands_options_files_and_settings(shell):
    registered, *lines = shell(
        "bash",
        'eval "$(firebox completion bash)"\n'
        "complete -p firebox\n"
        'for line in "firebox tr" "firebox train cae_baseline mi" "firebox train cae_baseline --set mod"; do\n'
        '  COMP_LINE="$line"; COMP_POINT=${#line}; COMP_TYPE=9; COMPREPLY=()\n'
        '  _python_argcomplete firebox; echo "${COMPREPLY[@]}"\n'
        "done\n",
    )
    assert "firebox" in registered
    assert [line.split()[0] for line in lines] == ["train", "mine.yaml", "model.name="]


def test_fish_completes_them_too(shell):
    text = "firebox completion fish | source\n"
    for typed in ("tr", "train cae_baseline mi", "train cae_baseline --set training.compile="):
        text += f'complete -C "firebox {typed}"\n'
    lines = [line.split("\t")[0] for line in shell("fish", text)]
    assert lines == ["train", "mine.yaml", "training.compile=false", "training.compile=true"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell, capsys):
    from firebox.engine.commands.command_line import main

    assert main(["completion", shell]) == 0
    assert "firebox" in capsys.readouterr().out
