"""Shows how evenly a codebook is used, and what its codes are worth beside principal components in as many bits."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from firebox.engine.archives.experiment import Experiment, Findings, Subject


def use_of_codebook(subject: Subject) -> Findings:
    """Counts the codes of the split's images and measures their reconstructions."""
    import torch

    from firebox.engine.archives.principal_components import images_of
    from firebox.foundation.usage_plot import draw_usage, perplexity, unused

    run, model = subject.archive.run, subject.autoencoder
    images = subject.images if subject.count is None else min(subject.count, subject.images)
    counts, error, places = torch.zeros(len(model.codebook.counts), dtype=torch.int64), 0.0, 0
    with torch.inference_mode():
        for part in images_of(run, subject.split, images):
            vectors, codes = model.quantise(model.encode(part))
            places = codes[0].numel()
            counts += torch.bincount(codes.flatten(), minlength=len(counts)).cpu()
            error += float((subject.pixels(model.decode(vectors)) - part).square().double().sum())
    used = float(perplexity(counts))
    bits = places * math.log2(len(counts))
    numbers: dict[str, Any] = {
        "split": subject.split,
        "images": images,
        "codes": len(counts),
        "perplexity": used,
        "dead_codes": int(unused(counts)),
        "codes_of_an_image": places,
        "bits_of_an_image": bits,
        "mse": error / images / part[0].numel(),
        "counts": counts.tolist(),
        "at_equal_bits": at_equal_bits(subject, images, bits),
    }
    return Findings(numbers, draw_usage(counts), (table_of(numbers),))


def at_equal_bits(subject: Subject, images: int, bits: float) -> dict[str, Any] | None:
    """Returns what principal components lose in as many bits; None if they can't be computed."""
    from firebox.engine.archives.principal_components import held, images_of, principal_components
    from firebox.engine.archives.references import BITS, coding_errors

    run = subject.archive.run
    components = principal_components(run) if held(run, "train", subject.split) else None
    if components is None or components.vectors is None or bits < BITS:
        return None
    training, own = images_of(run, "train"), images_of(run, subject.split, images)
    return asdict(coding_errors(components, training, own, bits))


def table_of(numbers: dict[str, Any]) -> Table:
    """Returns the reconstruction's error beside those of principal components."""
    table = Table(
        "reconstruction by",
        "MSE",
        title=f"{numbers['images']} {numbers['split']} images, {numbers['bits_of_an_image']:.0f} bits each",
    )
    table.add_row(f"{numbers['codes_of_an_image']} of {numbers['codes']} codes", f"{numbers['mse']:.6f}")
    others = numbers["at_equal_bits"]
    if others is not None:
        table.add_row(f"PCA, {others['components']} components of 8 bits", f"{others['pca']:.6f}")
        table.add_row("the best code for Gaussian images of this covariance", f"{others['gaussian']:.6f}")
    return table


EXPERIMENT = Experiment(
    name="codebook_usage",
    summary="Shows how evenly a codebook is used, beside principal components in as many bits.",
    look=use_of_codebook,
    counts="test images to code",
    needs=("encode", "quantise", "decode"),
    needs_images=True,
)

if __name__ == "__main__":
    EXPERIMENT.main()
