"""Nothing imports torch's compiler, which takes a third as long as torch, unless something is compiled."""

import json
import subprocess
import sys

import pytest
import torch

NEEDLESS = ["torch._dynamo", "torch._inductor", "torch.onnx", "torchvision", "kornia", "matplotlib"]

RUN = """
import json, os, sys
from firebox.engine.commands.command_line import train_script
from firebox.trainers.train_cae_baseline import TRAINER

options, plotless, afterwards = json.loads(sys.argv[1])

def train(*more):
    assert train_script(TRAINER, [*options, *more]) == 0
    return sorted(sys.modules)

def check_without_it():
    from firebox.engine.training.devices import dormant_compiler
    dormant_compiler.keep_compiler_dormant.__code__ = (lambda: None).__code__
    sys.meta_path.insert(0, Witness)
    return train("--check")

class Witness:
    # The compiler is looked for: that takes seconds less than to import it.
    def find_spec(name, *_):
        if name == "torch._dynamo":
            end("control", [name])

def end(part, found):
    sys.stdout.write("\\n" + json.dumps([part, found]) + "\\n")
    sys.stdout.flush()
    os._exit(0)

# Each does its part in a fork of one process that has imported what a training does to begin with.
parts = {
    "check": lambda: train("--check"),
    "control": check_without_it,
    "training": lambda: train(*plotless),
    "afterwards": lambda: exec(afterwards, {}),
}
for name, part in parts.items():
    if os.fork() == 0:
        end(name, part())
    os.wait()
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


SMALL = ["datamodule.limit=200", "model.channels=[2,4]", "training.epochs=1", "training.device=cpu"]
# The plot of the losses is what needs matplotlib.
PLOTLESS = ["--set", "handlers.loss_plot=false"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What each part of a process of its own found: the modules that are imported after it."""
    options = [word for text in [*SMALL, f"output.root={tmp_path_factory.mktemp('runs')}"] for word in ("--set", text)]
    command = [sys.executable, "-c", RUN, json.dumps([options, PLOTLESS, AFTERWARDS])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))
    assert len(found) == 4, done.stderr
    return found


@pytest.mark.parametrize("part", ["check", "training"])
def test_neither_a_check_nor_a_training_imports_what_it_has_no_use_for(parts, part):
    assert "firebox.engine.training.run" in parts[part]
    assert [name for name in NEEDLESS if name in parts[part]] == []


def test_without_it_a_check_imports_the_compiler(parts):
    assert parts["control"] == ["torch._dynamo"]


def test_the_compiler_is_whole_when_somebody_imports_it(parts):
    assert "afterwards" in parts, "what it printed is in the error of the fixture"


def test_torchs_wrapper_still_looks_up_what_to_call_with_getattr():
    wrapper = torch.optim.Optimizer.add_param_group
    assert wrapper.__code__.co_names[0] == "getattr"
    assert wrapper.__globals__ is torch._compile.__dict__
