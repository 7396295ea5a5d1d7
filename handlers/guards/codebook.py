"""Guards for codebooks: there is data to begin with, and nothing else moves the vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator

from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem


class CodebookSize(Guard):
    """Refuses a codebook with more codes than the first batch has latents for it to begin with."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from firebox.models.codebook import Codebook

        model, data = preflight.run.model, preflight.configuration.data
        codebook, shape = getattr(model, "codebook", None), getattr(model, "latent_shape", None)
        if not isinstance(codebook, Codebook) or not isinstance(shape, tuple):
            return  # another guard says that the module needs them
        codes = len(codebook.counts)
        _ = preflight.epoch_length  # unavailable if there is nothing to train on
        images = min(data.loading.batch_size, preflight.split_lengths["train"])
        places = math.prod(shape[1:])
        if codes > images * places:
            sides = "x".join(map(str, shape[1:]))
            message = f"got {codes}, but the first batch, {images} images of {sides} latents, has {images * places}"
            way_out = f"at most that many, or --set {data.kind}.batch_size={-(-codes // places)}"
            why = "to begin the codebook with, which would leave codes without any"
            yield preflight.problem(f"{message} {why}; expected {way_out}", "model", "num_embeddings")


class TrainedCodebook(Guard):
    """Refuses an optimizer that trains the vectors of a codebook, which follow the latents as moving averages."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from firebox.models.codebook import Codebook

        run = preflight.run
        vectors = {
            id(part.embeddings): f"{name}.embeddings".lstrip(".")
            for name, part in run.model.named_modules()
            if isinstance(part, Codebook)
        }
        for optimizer, own in run.update.optimizers.items():
            for parameter in (p for group in own.param_groups for p in group["params"]):
                if id(parameter) in vectors:
                    message = (
                        f"the optimizer {optimizer} trains {vectors[id(parameter)]}, which follows the latents as a "
                        "moving average: gradients and weight decay would pull it away from them; expected it left out "
                        "of parameters(), as it is with requires_grad=False"
                    )
                    yield preflight.problem(message, "module", "name")
