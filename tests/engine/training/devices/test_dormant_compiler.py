"""Nothing imports torch's compiler, which takes a third as long as torch, unless something is compiled."""

import json
import subprocess
import sys

import pytest
import torch

NEEDLESS = ["torch._dynamo", "torch._inductor", "torch.onnx", "torchvision", "kornia", "matplotlib"]

RUN = """
import json, sys
from firebox.engine.commands.command_line import train_script
from firebox.trainers.train_cae_baseline import TRAINER

if sys.argv[1] == "control":
    from firebox.engine.training.devices import dormant_compiler
    dormant_compiler.keep_compiler_dormant.__code__ = (lambda: None).__code__
code = train_script(TRAINER, sys.argv[2:])
sys.stdout.write("\\n" + json.dumps([code, sorted(sys.modules)]))
"""

AFTERWARDS = """
import sys, torch
from firebox.engine.checks.fake_tensors import fake_tensor_mode
from firebox.engine.training.devices.dormant_compiler import keep_compiler_dormant

keep_compiler_dormant()
parameter = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.Adam([parameter], lr=0.1, fused=True)
with fake_tensor_mode():
    assert torch.tensor(3).item() == 3 and (torch.ones(2, 3) @ torch.tensor([1.0, 2.0, 3.0])).shape == (2,)
settings = torch._dynamo.config
assert settings.cache_size_limit > 0 and "torch._dynamo" not in sys.modules

compiled = torch.compile(lambda x: (x * 2).sum(), backend="eager")
assert compiled(torch.ones(3)) == 6
assert sys.modules["torch._dynamo"] is torch._dynamo and torch._dynamo.config is settings
torch._dynamo.reset()
assert torch._dynamo.utils.counters is not None
other = torch.optim.Adam([parameter], lr=0.1, fused=True)
parameter.square().sum().backward()
other.step()
assert hasattr(torch.optim.Optimizer.add_param_group.__wrapped__, "__dynamo_disable"), "as torch has it"
"""


def imported(kind, *options):
    done = subprocess.run([sys.executable, "-c", RUN, kind, *options], capture_output=True, text=True, timeout=300)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return [name for name in NEEDLESS if name in modules]


SMALL = ["datamodule.batch_size=900", "training.epochs=1", "training.device=cpu", "output.version=run"]


PLOTLESS = ["--set", "handlers.loss_plot=false"]


@pytest.mark.parametrize("trainer", ["check", "training"])
def test_neither_a_check_nor_a_training_imports_what_it_has_no_use_for(trainer, tmp_path):
    options = [word for text in [*SMALL, f"output.root={tmp_path}"] for word in ("--set", text)]

    # The plot of the losses is what needs matplotlib.
    assert imported("firebox", *options, *(["--check"] if trainer == "check" else PLOTLESS)) == []


def test_without_it_a_check_imports_the_compiler(tmp_path):
    assert "torch._dynamo" in imported("control", "--set", f"output.root={tmp_path}", "--check")


def test_the_compiler_is_whole_when_somebody_imports_it():
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_torchs_wrapper_still_looks_up_what_to_call_with_getattr():
    wrapper = torch.optim.Optimizer.add_param_group
    assert wrapper.__code__.co_names[0] == "getattr"
    assert wrapper.__globals__ is torch._compile.__dict__
