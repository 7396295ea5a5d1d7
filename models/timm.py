"""Networks of timm, PyTorch Image Models, by their names."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional
from torch.utils._mode_utils import no_dispatch

from firebox.foundation.paths import FilePath
from firebox.foundation.problems import in_one_line, shown

PYRAMID_CHANNELS = 64
"""Channels of the decoder."""


class Timm(nn.Module):
    """A network of timm (Wightman, "PyTorch Image Models", 2019), for classes or, beneath a light decoder, for masks.

    Needs timm: pip install "firebox[timm]". Nothing is ever downloaded. Pixels should have the range that the weights
    were trained on, which is standardised as a rule.

    Args:
        input_shape: (C, H, W) of one image. Weights of images with three channels are adapted to others.
        num_classes: channels of the output: classes, or the channels of a mask or target image.
        architecture: name of the network, such as resnet18; ``timm.list_models()`` lists them.
        weights: safetensors file of pretrained weights, as timm publishes them; null to begin from random ones.
        output: class for one vector of logits, or pixels for a vector of each pixel: the network's features at all of
            its scales, decoded coarse to fine (Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017).

    Raises:
        ValueError: timm is missing or has no such network, the weights are no such file or don't fit, or the output has
            no channels.
    """

    output_activation = "linear"
    only_initial = ("weights",)

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        architecture: str,
        weights: FilePath | None = None,
        output: Literal["class", "pixels"] = "class",
    ) -> None:
        if not num_classes:
            raise ValueError("needs data whose samples have a target, got none; choose another data set")
        timm = _timm()
        if not timm.is_model(architecture):
            near = get_close_matches(architecture, timm.list_models(), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            expected = f"expected a network of timm {timm.__version__}"
            raise ValueError(f"architecture: got {shown(architecture)}, {expected}{meant}")
        super().__init__()
        channels, height, width = input_shape
        given: dict[str, Any] = {"in_chans": channels}
        if output == "pixels":
            given["features_only"] = True
        else:
            given["num_classes"] = num_classes
        if weights is not None:
            # timm's own way of loading, which adapts the first layer and leaves out the last.
            given |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": _read(Path(weights))}}
        try:
            known = timm.get_pretrained_cfg(architecture)
            if known is not None and known.fixed_input_size:
                given["img_size"] = (height, width)
            with _noting_missing() as missing:
                self.network: nn.Module = timm.create_model(architecture, **given)
        except Exception as error:
            key = "architecture" if weights is None else "weights"
            raise ValueError(
                f"{key}: got {shown(architecture if weights is None else weights)}: {in_one_line(error)}"
            ) from error
        last = known.classifier if known is not None else None
        heads = tuple(f"{name}." for name in ((last,) if isinstance(last, str) else last or ()))
        if lacking := [name for name in missing if not name.startswith(heads)]:
            what = f"{len(lacking)} tensors of {architecture}, such as {lacking[0]}"
            raise ValueError(f"weights: {weights} lacks {what}; expected weights of this architecture")
        self.decoder = Pyramid(self.network.feature_info.channels(), num_classes) if output == "pixels" else None

    def embed(self, images: Tensor) -> Tensor:
        """Returns features (N, features) of images (N, C, H, W), averaged over the pixels."""
        if self.decoder is not None:
            coarsest: Tensor = self.network(images)[-1]
            return coarsest.mean((2, 3))
        network: Any = self.network
        features: Tensor = network.forward_head(network.forward_features(images), pre_logits=True)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes), or (N, num_classes, H, W) where the output is of pixels."""
        output = self.network(images)
        logits: Tensor = output if self.decoder is None else self.decoder(output, images.shape[-2:])
        return logits


class Pyramid(nn.Module):
    """Decodes features of several scales, coarse to fine.

    Args:
        channels: channels of the features of each scale, the finest first.
        outputs: channels of the output.
    """

    # By nearest pixels and convolutions: bilinear interpolation has no deterministic gradient on CUDA.
    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(each, PYRAMID_CHANNELS, 1) for each in channels)
        self.smoothing = nn.ModuleList(nn.Conv2d(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3, padding=1) for _ in channels)
        self.head = nn.Conv2d(PYRAMID_CHANNELS, outputs, 3, padding=1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Returns (N, outputs, *size) for features (N, C, H, W) of each scale, the finest first."""
        scales = [*zip(features, self.lateral, self.smoothing, strict=True)]
        pixels: Tensor | None = None
        for feature, lateral, smoothing in reversed(scales):
            own = lateral(feature)
            above = own if pixels is None else own + functional.interpolate(pixels, own.shape[-2:])
            pixels = functional.relu(smoothing(above))
        assert pixels is not None, "a network has features"
        output: Tensor = self.head(functional.interpolate(pixels, size))
        return output


def _timm() -> ModuleType:
    try:
        return import_module("timm")
    except ImportError as error:
        raise ValueError(f'needs timm, which can\'t be imported ({error}): pip install "firebox[timm]"') from None


@contextmanager
def _noting_missing() -> Iterator[list[str]]:
    """Collects the names of the tensors that timm does not find in the weights, which it tells its log alone."""
    found: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told = re.match(r"Missing keys \((.*?)\) discovered", record.getMessage())
            found.extend(told[1].split(", ") if told else ())

    log, noting = logging.getLogger("timm.models._builder"), Noting()
    level, propagates = log.level, log.propagate
    log.addHandler(noting)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield found
    finally:
        log.removeHandler(noting)
        log.setLevel(level)
        log.propagate = propagates


def _read(path: Path) -> dict[str, Tensor]:
    """Reads weights; nothing in the file is ever executed."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ValueError(f"weights: no such file: {path}; expected a safetensors file, or null for random weights")
    try:
        with no_dispatch():  # fake tensors, of which a rehearsal consists, can't be made of a file's bytes
            tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        expected = "expected a safetensors file: others can hold code, and are not read"
        raise ValueError(f"weights: {path} can't be read, {expected} ({in_one_line(error)})") from None
    return {name: tensor.clone() for name, tensor in tensors.items()}
