"""Shows how images come out of noise: moments of a sampling, and what the network takes the images to be at each."""

from __future__ import annotations

from firebox.engine.archives.experiment import Experiment, Findings, Subject

MOMENTS = 8
"""Number of moments shown of each image, evenly spaced over the steps."""


def denoising_trajectory(subject: Subject) -> Findings:
    """Draws two rows per image, for the classes in turn: the image at each moment, and what it is taken for."""
    import torch

    from firebox.foundation.pictures import grid
    from firebox.foundation.randomness import generator

    assert subject.count is not None
    archive, module = subject.archive, subject.diffusion
    specification = archive.specification
    noise = torch.randn(
        subject.count, *specification.shape, generator=generator(archive.card["seed"], "denoising_trajectory")
    ).to(archive.run.device)
    labels = torch.arange(subject.count, device=noise.device) % module.classes if module.classes else None
    moments = list(module.trajectory(noise, labels))
    last = moments[-1].images
    chosen = [moments[k] for k in dict.fromkeys(torch.linspace(0, len(moments) - 1, MOMENTS).round().int().tolist())]
    rows = [torch.stack([specification.to_unit(m.images) for m in chosen], 1).flatten(0, 1)]
    rows += [torch.stack([specification.to_unit(m.clean) for m in chosen], 1).flatten(0, 1)]
    numbers = {
        "images": subject.count,
        "labels": None if labels is None else labels.tolist(),
        "sampler": module.sampler,
        "steps": len(moments) - 1,
        "guidance_scale": module.guidance_scale,
        "time": [float(moment.level.time) for moment in moments],
        "signal": [float(moment.level.signal) for moment in moments],
        "noise": [float(moment.level.noise) for moment in moments],
        "rms_of_estimate_from_result": [float((m.clean - last).square().mean().sqrt()) for m in moments],
    }
    return Findings(numbers, grid(rows, columns=len(chosen)))


EXPERIMENT = Experiment(
    name="denoising_trajectory",
    summary="Shows how images come out of noise.",
    look=denoising_trajectory,
    counts="images to draw",
    count=10,
    needs_trajectory=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
