"""The factory: what a configuration's settings become."""

import pytest
import torch
from torch._dynamo.utils import counters

from tests.handlers.runs import configured, trained

VARIATIONAL = {
    "model": {"name": "linear_vae", "latent_dim": 2},
    "module": {"name": "variational", "loss": "gaussian"},
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's compiler looks at it
def test_compiling_reaches_the_parts_that_a_module_calls_without_the_whole(tmp_path):
    plain = trained(configured(tmp_path / "plain", {}, **VARIATIONAL))
    assert not counters["frames"]
    compiled = trained(configured(tmp_path / "compiled", {}, **VARIATIONAL, training={"compile": True}))

    assert counters["frames"]["ok"] == counters["frames"]["total"] > 0
    torch.testing.assert_close(compiled.model.state_dict(), plain.model.state_dict())
