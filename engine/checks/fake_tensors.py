"""Fake tensors as a rehearsal needs them: made without torch's compiler, movable, and copied like others."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorConverter, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch

from firebox.engine.training.devices.dormant_compiler import keep_compiler_dormant

_EXACT = (torch.int64, torch.int32, torch.int16, torch.int8, torch.float64)
"""Dtypes whose values Python has numbers for that neither round nor overflow otherwise."""


def fake_tensor_mode() -> FakeTensorMode:
    """Returns the mode in which all tensors are fake."""
    keep_compiler_dormant()
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    mode.fake_tensor_converter = _Converter(copy_data=mode.propagate_real_tensors, export=False)
    # The memo holds parameters weakly, and a parameter with a weak reference can't be moved by Module.to.
    mode.fake_tensor_converter.meta_converter.tensor_memo = {}  # type: ignore[assignment]
    return mode


# torch's own converter imports the compiler at its first tensor, for names of where tensors with symbolic shapes come
# from. Nearly all that a rehearsal converts is a plain tensor, such as what torch.tensor(255.0) gives, and that takes
# none of it.
class _Converter(FakeTensorConverter):
    """Makes fake tensors of plain ones; leaves all others, such as views, to torch."""

    def from_real_tensor(
        self,
        fake_mode: FakeTensorMode,
        t: torch.Tensor,
        make_constant: bool = False,
        shape_env: Any = None,
        **others: Any,
    ) -> FakeTensor:
        plain = type(t) is torch.Tensor and t.layout == torch.strided and t.device.type == "cpu" and not t.is_mkldnn
        with no_dispatch():
            plain = plain and not (t.requires_grad or t._is_view() or t.is_inference() or t.is_quantized)
        if not plain or shape_env is not None or any(others.values()):
            return super().from_real_tensor(fake_mode, t, make_constant, shape_env, **others)
        known = self._get_memo(t)
        if known is not None:
            return known
        with no_dispatch():
            meta = torch.empty_strided(t.size(), t.stride(), dtype=t.dtype, device="meta")
            fake = FakeTensor(fake_mode, meta, t.device, constant=t if make_constant else None)
            value = t.item() if t.dim() == 0 and t.dtype in _EXACT else math.nan
        if math.isfinite(value):
            fake.item_memo = value
        self.set_tensor_memo(t, fake)
        if make_constant:
            self.add_constant_storage_mapping(fake)
        return fake

    def add_constant_storage_mapping(self, fake_tensor: FakeTensor) -> None:
        # Not weakly, as torch does, for the same reason as the memo: a constant may become a parameter.
        storage = StorageWeakRef(fake_tensor.constant._typed_storage())  # type: ignore[union-attr]
        self.constant_storage_mapping.setdefault(storage, []).append(lambda: fake_tensor)  # type: ignore[arg-type]


class Copying(TorchFunctionMode):
    """Copies fake tensors: torch copies the storage, which they have none of."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, memo = args
        if id(tensor) not in memo:
            copied = tensor.detach().clone()
            if isinstance(tensor, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, tensor.requires_grad)
            memo[id(tensor)] = copied
        return memo[id(tensor)]
