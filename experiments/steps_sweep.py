"""Draws the same noise in few and in many steps."""

from __future__ import annotations

from firebox.engine.archives.experiment import Experiment, Findings, Subject

STEPS = (1, 2, 5, 10, 20, 50)


def steps_sweep(subject: Subject) -> Findings:
    """Draws a row of images for each number of steps that the module can make."""
    from firebox.engine.archives.sweeping import swept

    most = subject.diffusion.most_steps
    return swept(subject, "steps", [steps for steps in STEPS if most is None or steps <= most])


EXPERIMENT = Experiment(
    name="steps_sweep",
    summary="Draws images in few and in many steps.",
    look=steps_sweep,
    counts="images to draw with each",
    count=10,
    needs_trajectory=True,
    judged=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
