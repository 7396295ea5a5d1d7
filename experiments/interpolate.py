"""Interpolates in the latent space between pairs of test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firebox.engine.archives.experiment import Experiment, Findings, Subject

if TYPE_CHECKING:
    import torch

STEPS = 9
"""Number of decoded latents per pair, including both ends."""


def interpolate(subject: Subject) -> Findings:
    """Draws a row per pair: the first image, decoded points on the line between the latents, the second image."""
    import torch

    from firebox.foundation.pictures import grid

    assert subject.count is not None
    pairs = min(subject.count, subject.images // 2)
    batch = subject.first(2 * pairs)
    model = subject.autoencoder
    with torch.inference_mode():
        latents = model.embed(batch.images)
        first, second = latents[:pairs], latents[pairs:]
        share = torch.linspace(0, 1, STEPS, device=latents.device).view(1, -1, 1)
        walks = torch.lerp(first.unsqueeze(1), second.unsqueeze(1), share)
        decoded = subject.shown(decode(subject, walks.flatten(0, 1))).unflatten(0, (pairs, STEPS))
    ends = subject.archive.specification.to_unit(batch.images)
    rows = torch.cat([ends[:pairs].unsqueeze(1), decoded, ends[pairs:].unsqueeze(1)], dim=1)
    indices = batch.indices.tolist()
    numbers = {
        "split": subject.split,
        "steps": STEPS,
        "pairs": list(zip(indices[:pairs], indices[pairs:], strict=True)),
        "latent_distances": (second - first).norm(dim=1).tolist(),
        "pixel_distances_per_step": (decoded[:, 1:] - decoded[:, :-1]).flatten(2).norm(dim=2).tolist(),
    }
    return Findings(numbers, grid((rows.flatten(0, 1),), columns=STEPS + 2))


def decode(subject: Subject, latents: torch.Tensor) -> torch.Tensor:
    """Returns the model's output for latents (N, latent_dim); between codes, that for the nearest ones."""
    model = subject.autoencoder
    latents = latents.unflatten(1, getattr(model, "latent_shape", latents.shape[1:]))
    if hasattr(model, "quantise"):
        latents, _ = model.quantise(latents)
    output: torch.Tensor = model.decode(latents)
    return output


EXPERIMENT = Experiment(
    name="interpolate",
    summary="Walks through the latent space between pairs of test images.",
    look=interpolate,
    counts="pairs of test images",
    count=8,
    needs=("embed", "decode"),
    needs_images=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
