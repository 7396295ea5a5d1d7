"""Draws the same noise with guidance of several strengths."""

from __future__ import annotations

from firebox.engine.archives.experiment import Experiment, Findings, Subject

SCALES = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)


def guidance_sweep(subject: Subject) -> Findings:
    """Draws a row of images for each scale, from no classes at all to classes that are exaggerated."""
    from firebox.engine.archives.sweeping import swept
    from firebox.foundation.problems import Problem, Refusal

    try:
        subject.diffusion.require_guidance(max(SCALES))
    except ValueError as error:
        raise Refusal([Problem("", f"{subject.archive.path}: guidance_sweep draws with guidance: {error}")]) from None
    return swept(subject, "guidance_scale", SCALES)


EXPERIMENT = Experiment(
    name="guidance_sweep",
    summary="Draws images with guidance of several strengths.",
    look=guidance_sweep,
    counts="images to draw with each",
    count=10,
    needs_trajectory=True,
    judged=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
