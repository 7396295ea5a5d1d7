"""Adds noise of several strengths to test images, and shows and measures what a denoiser makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from firebox.engine.archives.experiment import Experiment, Findings, Subject

if TYPE_CHECKING:
    import torch

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Standard deviations of the noise as multiples of that of the training."""


def denoise(subject: Subject) -> Findings:
    """Measures the whole split at each strength, beside the best affine map for it, and draws some images.

    In a picture, each row of blocks is an image: the noisy one above, the restored one below.
    """
    import torch

    from firebox.engine.archives.principal_components import held, images_of, principal_components
    from firebox.engine.archives.references import affine_denoising_error
    from firebox.foundation.pictures import Words, grid

    assert subject.count is not None
    run, module = subject.archive.run, subject.archive.module
    sigmas = [strength * module.sigma for strength in STRENGTHS]  # type: ignore[attr-defined]
    components = principal_components(run) if held(run, "train", subject.split) else None
    energies = None
    if components is not None and components.vectors is not None:
        _, energies = components.energies(images_of(run, subject.split))
    rows: list[dict[str, Any]] = []
    for sigma in sigmas:
        row = {"sigma": sigma, **errors(subject, sigma)}
        if components is not None and energies is not None:
            row["best_affine_mse"] = affine_denoising_error(components, energies, sigma)
        rows.append(row)
    batch = subject.first(min(subject.count, subject.images))
    noisy = [corrupted(subject, batch.images, sigma) for sigma in sigmas]
    with torch.inference_mode():
        restored = [subject.shown(subject.archive.model(images)) for images in noisy]
    shown = [
        torch.stack(each, 1).flatten(0, 1) for each in ([run.data.specification.to_unit(n) for n in noisy], restored)
    ]
    captions = [[Words(f"sigma {sigma:.3g}")] for sigma in sigmas] * len(batch)
    numbers = {
        "split": subject.split,
        "images": subject.images,
        "trained_with_sigma": module.sigma,  # type: ignore[attr-defined]
        "indices": batch.indices.tolist(),
        "by_sigma": rows,
    }
    return Findings(numbers, grid(shown, columns=len(sigmas), captions=captions), (table_of(rows, numbers),))


def corrupted(subject: Subject, images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Returns images with the noise that they are always given in this experiment."""
    from firebox.foundation.randomness import mix, seed_everything

    seed_everything(mix(subject.archive.run.configuration.seed, "denoise"))
    noisy: torch.Tensor = subject.archive.module.corrupt(images, sigma)  # type: ignore[attr-defined]
    return noisy


def errors(subject: Subject, sigma: float) -> dict[str, float]:
    """Returns the mean PSNR of a split's noisy and restored images, cut to the range, and the restored ones' MSE."""
    import torch

    from firebox.engine.archives.principal_components import images_of
    from firebox.modules.metrics import psnr

    to_unit = subject.archive.specification.to_unit
    sums = torch.zeros(3, dtype=torch.float64)
    with torch.inference_mode():
        for clean in images_of(subject.archive.run, subject.split):
            noisy = corrupted(subject, clean, sigma)
            output = subject.pixels(subject.archive.model(noisy))
            error = (output - clean).square().flatten(1).mean(1)
            found = (psnr(to_unit(noisy), to_unit(clean)), psnr(to_unit(output), to_unit(clean)), error)
            sums += torch.stack([values.double().sum() for values in found]).cpu()
    means = (sums / subject.images).tolist()
    return dict(zip(("psnr_of_input", "psnr", "mse"), means, strict=True))


def table_of(rows: list[dict[str, Any]], numbers: dict[str, Any]) -> Table:
    """Returns a row for each strength of the noise."""
    table = Table(
        title=f"{numbers['images']} {numbers['split']} images, trained with {numbers['trained_with_sigma']:g}"
    )
    for name in ("sigma", "PSNR noisy", "PSNR restored", "MSE restored", "best affine MSE"):
        table.add_column(name, justify="right")
    for row in rows:
        best = row.get("best_affine_mse")
        figures = (f"{row['psnr_of_input']:.2f}", f"{row['psnr']:.2f}", f"{row['mse']:.6f}")
        table.add_row(f"{row['sigma']:.3g}", *figures, "" if best is None else f"{best:.6f}")
    return table


EXPERIMENT = Experiment(
    name="denoise",
    summary="Shows and measures what a denoiser makes of test images with noise of several strengths.",
    look=denoise,
    counts="test images to show",
    count=6,
    needs_training=("corrupt", "training by noise that it removes"),
    needs_images=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
