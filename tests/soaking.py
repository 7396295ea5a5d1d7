"""Which tests are left to `make soak`, because they take long."""

import os

import pytest

SOAK = bool(os.environ.get("FIREBOX_SOAK"))
soak = pytest.mark.skipif(not SOAK, reason="takes long: make soak")
