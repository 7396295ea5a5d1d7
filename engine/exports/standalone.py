"""An archived model with its preprocessing and the meaning of its output inside, to be used without Firebox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.engine.archives.archive import Archive
from firebox.foundation.problems import Problem, Refusal
from firebox.foundation.randomness import generator

SAMPLES = 6
"""Number of inputs on which an exported model is compared with the archived one."""

Step = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that a model takes or gives.

    Args:
        name: its name in the exported file.
        dtype: its dtype, such as ``uint8``.
        shape: its shape without the batch, such as (C, H, W).
        meaning: what it is.
        names: names of what stands along its second dimension, such as classes; empty if these have none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str
    names: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON can hold it, N being any number."""
        return {**asdict(self), "shape": ["N", *self.shape], "names": list(self.names)}


class Standalone(torch.nn.Module):
    """A model between its preprocessing and the interpretation of its output.

    Args:
        model: the network.
        before: function that makes the network's input of what is given.
        after: function that makes what is returned of the network's output.
    """

    def __init__(self, model: torch.nn.Module, before: Step, after: Step) -> None:
        super().__init__()
        self.model = model
        self._before = before
        self._after = after

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Returns what ``predict`` makes of the same images, (N, ...) float32."""
        return self._after(self.model(self._before(given)))


@dataclass(frozen=True, slots=True)
class Exported:
    """What is exported of an archive.

    Args:
        network: what computes, on the CPU and in evaluation mode.
        takes: its input.
        gives: its output.
        samples: inputs on which exported files are compared, (SAMPLES, ...).
        outputs: the network's outputs for them.
    """

    network: Standalone
    takes: Port
    gives: Port
    samples: torch.Tensor
    outputs: torch.Tensor


def exported(archive: Archive) -> Exported:
    """Returns an archived model as it is exported: on the CPU, taking images as they are read, giving predictions.

    A model that images are drawn from, such as a GAN, takes latents instead, and only its generator is exported.

    Raises:
        Refusal: nothing says what the output means, or the model returns no tensor.
    """
    archive.model.cpu().eval()
    network, takes, name, meaning, names = _drawing(archive) if _draws(archive) else _predicting(archive)
    samples = _samples(archive, takes)
    with torch.no_grad():
        outputs = network(samples)
    gives = Port(name, "float32", tuple(outputs.shape[1:]), meaning, names)
    return Exported(network, takes, gives, samples, outputs)


_Parts = tuple[Standalone, Port, str, str, tuple[str, ...]]


def _draws(archive: Archive) -> bool:
    draws = isinstance(getattr(archive.model, "generator", None), torch.nn.Module)
    return archive.module.output_kind == "scores" and draws and hasattr(archive.model, "latent_dim")


def _drawing(archive: Archive) -> _Parts:
    to_unit = archive.specification.to_unit
    model: Any = archive.model
    takes = Port("latents", "float32", (int(model.latent_dim),), "independent draws of a standard normal distribution")
    network = Standalone(model.generator, _unchanged, lambda output: to_unit(output.float())).eval()
    return network, takes, "drawn_images", "pixels in [0,1]", ()


def _predicting(archive: Archive) -> _Parts:
    specification, module = archive.specification, archive.module
    target, kind = specification.target, module.output_kind
    names: tuple[str, ...] = getattr(target, "names", ())
    known: dict[str | None, tuple[Step, str, str]] = {
        "class_logits": (_softmax, "probabilities", "probability of each class"),
        "label_logits": (_sigmoid, "probabilities", "probability of each label"),
        "values": (_in_units(target), "values", "values, in the data's units"),
        "mask_logits": (_float, "logits", "logits of the classes of each pixel; the largest is the predicted class"),
    }
    if kind in ("pixels", "pixel_logits") and hasattr(module, "pixels"):
        pixels, to_unit = module.pixels, module.goal.to_unit
        same = module.goal == specification
        after: Step = lambda output: to_unit(pixels(output).float())  # noqa: E731
        name, meaning = ("reconstructions" if same else "predicted_images"), "pixels in [0,1]"
        names = ()
    elif kind in known and names:
        after, name, meaning = known[kind]
    else:
        expected = f"{', '.join(str(each) for each in known)} of a target with names, or pixels (with a method pixels)"
        raise refusal(
            f"{archive.path}: {type(module).__name__} says that its output is {kind}, which predicts nothing of "
            f"images; expected an output_kind that can be exported: {expected}; --to safetensors exports the weights "
            "alone"
        )
    return (
        Standalone(archive.model, _preprocessing(specification), after).eval(),
        _images(archive),
        name,
        meaning,
        names,
    )


def _preprocessing(specification: ImageSpecification) -> Step:
    return lambda images: specification.from_unit(specification.as_unit(images))


def _images(archive: Archive) -> Port:
    """Returns the input of a model that takes images, as the archive's own files are read."""
    specification = archive.specification
    decoding = archive.card.get("decoding") or {}
    beyond_bytes = specification.value_range is not None and not (
        specification.value_range[0] >= 0 and specification.value_range[1] <= 255
    )
    dtype = str(decoding.get("dtype", "float32" if beyond_bytes else "uint8"))
    lowest, highest = specification.values_of(getattr(torch, dtype))
    return Port("images", dtype, specification.shape, f"pixels as they are read, in {lowest:g}..{highest:g}")


def _samples(archive: Archive, takes: Port) -> torch.Tensor:
    """Returns drawn inputs: images of noise, or latents.

    Of images with hardly any contrast, what normalisation over an image makes is largely rounding error.
    """
    noise = generator(0, "export")
    if takes.name == "latents":
        return torch.randn(SAMPLES, *takes.shape, generator=noise)
    dtype = getattr(torch, takes.dtype)
    lowest, highest = archive.specification.values_of(dtype)
    values = lowest + torch.rand(SAMPLES, *takes.shape, generator=noise) * (highest - lowest)
    return values if dtype.is_floating_point else values.round().to(dtype)


def _unchanged(given: torch.Tensor) -> torch.Tensor:
    return given


def _softmax(output: torch.Tensor) -> torch.Tensor:
    return output.float().softmax(1)


def _sigmoid(output: torch.Tensor) -> torch.Tensor:
    return output.float().sigmoid()


def _in_units(target: Any) -> Step:
    """Returns the step from a regression's output to values in the data's units."""
    return lambda output: target.in_units(output.float().flatten(1))


def _float(output: torch.Tensor) -> torch.Tensor:
    return output.float()


def refusal(message: str) -> Refusal:
    """Returns the refusal of an export."""
    return Refusal([Problem("", message)])
