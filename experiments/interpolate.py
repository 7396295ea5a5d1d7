"""Interpolates in the latent space between pairs of test images, or of drawn ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firebox.engine.archives.experiment import Experiment, Findings, Subject, has_latents

if TYPE_CHECKING:
    import torch

STEPS = 9
"""Number of decoded latents per pair, including both ends."""


def interpolate(subject: Subject) -> Findings:
    """Draws a row per pair: decoded points between the latents of two images.

    Between test images, on the line between their latents, with the images themselves at its ends. A model that has no
    latents of given images, such as a GAN, or a diffusion model, whose latent is its noise, is shown between latents
    that are drawn, on the arc between these: on the line they would be shorter than those that the model knows.
    """
    import torch

    from firebox.foundation.pictures import grid

    if not has_latents(subject.archive):
        return between_drawn(subject)
    assert subject.count is not None
    pairs = min(subject.count, subject.images // 2)
    batch = subject.first(2 * pairs)
    model = subject.autoencoder
    with torch.inference_mode():
        latents = model.embed(batch.images)
        first, second = latents[:pairs], latents[pairs:]
        share = torch.linspace(0, 1, STEPS, device=latents.device).view(1, -1, 1)
        walks = torch.lerp(first.unsqueeze(1), second.unsqueeze(1), share)
        decoded = subject.shown(decode(model, walks.flatten(0, 1))).unflatten(0, (pairs, STEPS))
    ends = subject.archive.specification.to_unit(batch.images)
    rows = torch.cat([ends[:pairs].unsqueeze(1), decoded, ends[pairs:].unsqueeze(1)], dim=1)
    indices = batch.indices.tolist()
    numbers = {
        "split": subject.split,
        "steps": STEPS,
        "pairs": list(zip(indices[:pairs], indices[pairs:], strict=True)),
        **measured(first, second, decoded),
    }
    return Findings(numbers, grid((rows.flatten(0, 1),), columns=STEPS + 2))


def decode(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """Returns the model's output for latents (N, latent_dim); between codes, that for the nearest ones."""
    latents = latents.unflatten(1, getattr(model, "latent_shape", latents.shape[1:]))
    if hasattr(model, "quantise"):
        latents, _ = model.quantise(latents)
    output: torch.Tensor = model.decode(latents)
    return output


def between_drawn(subject: Subject) -> Findings:
    """Draws a row per pair of latents that are drawn from N(0, I); where there are classes, a row is of one."""
    import torch

    from firebox.foundation.pictures import grid
    from firebox.foundation.randomness import generator

    assert subject.count is not None
    archive, module, pairs = subject.archive, subject.generative, subject.count
    latents = module.draw_latents(2 * pairs, generator(archive.card["seed"], "interpolate"))
    first, second = latents.flatten(1).chunk(2)
    walks = arcs(first, second, STEPS).unflatten(2, latents.shape[1:])
    # A step of all pairs at a time, so that a pair keeps its position, and so its class.
    drawn = [archive.specification.to_unit(module.decode_latents(walks[:, step])) for step in range(STEPS)]
    decoded = torch.stack(drawn, 1)
    numbers = {"split": None, "steps": STEPS, "pairs": pairs, **measured(first, second, decoded)}
    return Findings(numbers, grid((decoded.flatten(0, 1),), columns=STEPS))


def arcs(first: torch.Tensor, second: torch.Tensor, steps: int) -> torch.Tensor:
    """Returns points (N, steps, D) on the arcs between pairs of vectors, each (N, D): spherical interpolation.

    Shoemake, "Animating Rotation with Quaternion Curves", SIGGRAPH 1985; of latents: White, "Sampling Generative
    Networks", 2016.
    """
    import torch

    share = torch.linspace(0, 1, steps, device=first.device).view(1, -1, 1)
    cosine = torch.nn.functional.cosine_similarity(first, second).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos().view(-1, 1, 1)
    weights = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    return weights[0] * first.unsqueeze(1) + weights[1] * second.unsqueeze(1)


def measured(first: torch.Tensor, second: torch.Tensor, decoded: torch.Tensor) -> dict[str, Any]:
    """Returns the distances of the pairs of latents, and those of the images from step to step."""
    return {
        "latent_distances": (second - first).norm(dim=1).tolist(),
        "pixel_distances_per_step": (decoded[:, 1:] - decoded[:, :-1]).flatten(2).norm(dim=2).tolist(),
    }


EXPERIMENT = Experiment(
    name="interpolate",
    summary="Walks through the latent space between pairs of test images, or of drawn ones.",
    look=interpolate,
    counts="pairs of images",
    count=8,
    needs_latents=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
