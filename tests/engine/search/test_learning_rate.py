"""firebox find-lr."""

import shutil
import warnings

import torch
from PIL import Image

from firebox.engine.commands.command_line import main
from firebox.foundation.learning_rate_plot import draw_learning_rates


def test_a_learning_rate_is_suggested_and_drawn_and_nothing_else_is_left(write, capsys, tmp_path):
    write("")
    before = sorted(tmp_path.iterdir())
    command = ["find-lr", "config.yaml", "--from", "1e-5", "--to", "10", "--iterations", "60"]
    with warnings.catch_warnings(action="error"):
        assert main([*command, "--output", "plots/lr.png"]) == 0
    said = capsys.readouterr()
    assert "then it diverged" in said.err
    suggested = float(said.out.removeprefix("--set optimizer.lr="))
    assert 1e-4 < suggested < 0.1
    with Image.open(tmp_path / "plots/lr.png") as plot:
        assert plot.size == (960, 540)
    shutil.rmtree(tmp_path / "plots")
    assert sorted(tmp_path.iterdir()) == before
    # The control: where every rate is too small, the loss still falls, and nothing diverges.
    assert main(["find-lr", "config.yaml", "--from", "1e-4", "--to", "1e-3", "--iterations", "8"]) == 0
    said = capsys.readouterr().err
    assert "8 iterations, from 0.0001 to 0.001\n" in said
    assert "diverged" not in said and "at 0.001; it may fall further beyond that: --to" in said


def test_what_cant_work_is_refused(write, capsys):
    write("")
    assert main(["find-lr", "config.yaml", "--from", "1", "--to", "0.1"]) == 2
    assert "--from and --to: got 1 and 0.1" in capsys.readouterr().err
    assert main(["find-lr", "config.yaml", "--optimizer", "mian"]) == 2
    assert "--optimizer: got mian; did you mean main?" in capsys.readouterr().err
    assert main(["find-lr", "config.yaml", "--set", "training.device=cuda:77"]) == 2
    assert "--set training.device  training.device: got cuda:77" in capsys.readouterr().err


def test_a_loss_that_diverges_leaves_the_plot():
    rates = [10.0**power for power in range(-5, 0)]
    plain = draw_learning_rates(rates, [1.0, 0.8, 0.5, 0.6, 3.0], 1e-3, "")
    assert plain.shape == (3, 540, 960)
    assert torch.equal(plain, draw_learning_rates(rates, [1.0, 0.8, 0.5, 0.6, 3.0], 1e-3, ""))
    assert not torch.equal(plain, draw_learning_rates(rates, [1.0, 0.8, 0.5, 0.6, 3.0], None, ""))
    draw_learning_rates(rates, [1.0, 0.8, 0.5, 0.6, float("inf")], 1e-3, "")
