"""Keeps torch's compiler out of a process that compiles nothing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

COMPILER = "torch._dynamo"


# Importing torch's compiler takes a third as long as importing torch, and torch does it where nothing is compiled: each
# function that must not be compiled, such as an optimizer's constructor, asks the compiler at its first call to leave
# it alone; and fake tensors read the compiler's settings. Here, such functions are called as they are for as long as
# there is no compiler, and the settings, one file that imports nothing of it, are loaded without the package around
# them. Whatever else asks for the compiler imports it, as ever, and from then on all is as torch made it:
# ``training.compile`` needs nothing to be undone. A test fails if a release of torch imports it in another way.
def keep_compiler_dormant() -> None:
    """Has torch work without its compiler until somebody imports that."""
    if COMPILER in sys.modules:
        return
    # What torch wraps around such a function looks up with ``getattr`` what to call.
    torch._compile.getattr = _what_to_call  # type: ignore[attr-defined]
    _load_settings()


def _what_to_call(function: Any, *name_and_default: Any) -> Any:
    """Stands for ``getattr`` in torch's wrapper: the function itself, as long as there is no compiler."""
    return getattr(function, *name_and_default) if COMPILER in sys.modules else function


class _Settings:
    """Stands for the compiler's package where its settings are read; for anything else, imports the package.

    Args:
        config: the module of the settings.
    """

    def __init__(self, config: object) -> None:
        self.config = config

    def __getattr__(self, name: str) -> Any:
        # The package then takes the place of this object as an attribute of torch.
        return getattr(importlib.import_module(COMPILER), name)


def _load_settings() -> None:
    name = f"{COMPILER}.config"
    path = Path(torch.__path__[0]) / "_dynamo" / "config.py"
    if name in sys.modules or not path.is_file():
        return
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    config = importlib.util.module_from_spec(specification)
    # Under its own name: the package, once it is imported, finds it there and loads no other.
    sys.modules[name] = config
    specification.loader.exec_module(config)
    torch._dynamo = _Settings(config)  # type: ignore[assignment]
