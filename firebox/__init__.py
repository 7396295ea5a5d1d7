"""Firebox: an event-driven training engine for image models, on PyTorch-Ignite.

This package is the import name and the public face. What is public is listed in ``__init__.pyi`` and imported when it
is first used, so that ``import firebox`` costs no torch. The rooms beside this folder are linked into it: the folder
``engine`` is ``firebox.engine`` in a checkout, in an editable installation and in the wheel alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
