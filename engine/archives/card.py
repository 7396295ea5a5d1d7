"""The card of an archive: the model's origin, its input and output, and its measured quality."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.specification_record import plain_specification
from firebox.data.fingerprints.fingerprint import content_of
from firebox.engine.archives.loading import TOLERANCE, self_check, signature
from firebox.engine.archives.measurement import evaluation_split, reconstruction_errors
from firebox.engine.archives.probe import probe
from firebox.engine.configuration import Named
from firebox.engine.configuration.plain_values import flattened
from firebox.engine.records.checkpoints import Manifest
from firebox.engine.records.monitor import Monitor, monitor_of
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.records.verification import SCHEMA_VERSION
from firebox.engine.training.environment import environment
from firebox.engine.training.run import Run
from firebox.foundation.package import version

SELF_CHECK_IMAGES = 256

NOT_STATED = "not stated"

DEFINITIONS = {
    "psnr": "10 log10(1 / MSE) in dB of each image, pixels in [0,1]",
    "ssim": "structural similarity of each image, pixels in [0,1], Gaussian window of 11 pixels, sigma 1.5",
    "accuracy": "share of the images whose largest logit is the label's",
    "confusion_matrix": "counts of images; a row for each true class, a column for each predicted one",
    "active_units": "latent entries whose posterior mean has a variance above 0.01 over the images",
    "psnr_of_input": "PSNR of the model's input, cut to [0,1]",
    "perplexity": "exp of the entropy of the codes' frequencies: the number of equally likely codes of this entropy",
    "dead_codes": "codes that no latent has",
    "code_counts": "number of latents that have each code",
}
REDUCTIONS = {
    "confusion_matrix": "sum over the images",
    "code_counts": "sum over the images",
    **dict.fromkeys(("active_units", "perplexity", "dead_codes"), "over all images at once"),
}


def card(
    run: Run,
    directory: RunDirectory,
    *,
    name: str,
    manifest: Manifest,
    wanted: str,
    metrics: Mapping[str, Any],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the card of a model, without the lists of its files.

    Args:
        run: run whose model is archived.
        directory: directory of the run.
        name: name of the archive.
        manifest: manifest of the checkpoint.
        wanted: how the checkpoint was chosen: best, last or its iteration.
        metrics: metrics by split, then by name, as they were just measured.
        values: values of the configuration, as in the archive's own file.
    """
    configuration = run.configuration
    trained = directory.recorded_environment()
    baseline, monitor = _baseline(run), monitor_of(configuration)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "created_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "trainer": configuration.trainer,
        "model": {
            "name": values["model"]["name"],
            "target": _target(configuration.model, values["model"]["name"]),
            "weights": _began_with(trained),
        },
        "config": values,
        "signature": signature(run),
        "specification": plain_specification(run.data.specification),
        "decoding": _decoding(run),
        "preprocessing": _preprocessing(run.data.specification),
        "data": _data(run, values),
        "selection": {
            "checkpoint": wanted,
            "metric": None if monitor is None else monitor.metric,
            "mode": None if monitor is None else monitor.mode,
            "iteration": manifest.iteration,
            "epoch": manifest.epoch,
            "recorded_metrics": manifest.metrics,
            "module": run.module.summary(),
            "module_state": {},
        },
        "metrics": {split: _described(run, split, found, values) for split, found in metrics.items()},
        "baseline": baseline,
        "validated_by": _validated(monitor, manifest, metrics, baseline),
        "self_check": _self_check(run),
        "probe": probe(run),
        "seed": configuration.seed,
        "code": {
            "commit": trained.get("commit"),
            "uncommitted_changes": trained.get("uncommitted_changes"),
            "version": version("firebox"),
        },
        "env": {"training": trained, "archiving": environment(run)},
        "run": {"directory": str(directory.path), **directory.recorded_status()},
        "license": NOT_STATED,
        "intended_use": NOT_STATED,
        "limitations": NOT_STATED,
    }


def _target(named: Named, name: str) -> str:
    """Returns where a part is defined: in the archive, if the archive holds it, or else in a module."""
    return name if ":" in name else f"{named.component.target.module}:{named.component.target.attribute}"


def _began_with(trained: Mapping[str, Any]) -> Any:
    """Returns which weights a run's model began with; None for its own initialisation."""
    return next((each["weights"] for each in (trained, *trained.get("earlier", ())) if "weights" in each), None)


def _preprocessing(specification: ImageSpecification) -> dict[str, Any]:
    """Returns the formula that preprocesses pixels, the same for every pixel range, with its constants."""
    channels = specification.shape[0]
    constants = {"[0,1]": (0.0, 1.0), "[-1,1]": (0.5, 0.5)}.get(specification.pixel_range)
    mean = [constants[0]] * channels if constants else list(specification.mean)
    std = [constants[1]] * channels if constants else list(specification.std)
    return {
        "pixel_range": specification.pixel_range,
        "mean": mean,
        "std": std,
        "forward": f"({_unit(specification)} - mean) / std, for each channel",
        "inverse": "pixels * std + mean, cut to [0,1]",
    }


def _unit(specification: ImageSpecification) -> str:
    """Returns the formula that maps values as they are read to [0,1]."""
    if specification.value_range is None:
        return "uint8 / 255 (uint16 / 65535, float32 as it is)"
    lowest, highest = specification.value_range
    return f"(value - {lowest:g}) / {highest - lowest:g}"


def _decoding(run: Run) -> dict[str, Any] | None:
    """Returns what makes a sample of an image file, where the data is files."""
    decoder = run.data.image_decoder
    return None if decoder is None else decoder.described()


def _data(run: Run, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a description of the data; of a split in memory, with a hash of its images, then of its labels."""
    named = run.configuration.data.named
    splits: dict[str, Any] = {}
    for split, stream in run.streams.items():
        content = None if stream.placement == "stream" else content_of(stream)
        splits[split] = {"images": stream.samples, "sha256": content}
    return {
        "name": values[run.configuration.data.kind]["name"],
        "kind": run.configuration.data.kind,
        "parameters": values[run.configuration.data.kind],
        "splits": splits,
        "split_seed": named.parameters.get("split_seed"),
        "classes": list(run.data.specification.classes),
        "fingerprint": run.identity.fingerprint.plain(),
    }


def _described(run: Run, split: str, metrics: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    module = dict(values["module"])
    named = module.pop("name")
    settings = ", ".join(f"{key} {value}" for key, value in flattened(module))
    return {
        name: {
            "value": value,
            "definition": DEFINITIONS.get(name, f"{name} of the module {named} ({settings})"),
            "n": run.streams[split].samples,  # type: ignore[index]
            "reduction": REDUCTIONS.get(name, "mean over the images"),
        }
        for name, value in metrics.items()
    }


def _baseline(run: Run) -> dict[str, Any] | None:
    split = evaluation_split(run)
    errors = reconstruction_errors(run, split)
    if errors is None:
        return None
    definition = "mean squared error per pixel in the data's pixel range; mean image and components of the train split"
    return {"split": split, "definition": definition, **asdict(errors)}


def _validated(
    monitor: Monitor | None, manifest: Manifest, metrics: Mapping[str, Any], baseline: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = []
    monitored = "" if monitor is None else monitor.metric
    split, _, name = monitored.partition("/")
    recorded, now = manifest.metrics.get(monitored), metrics.get(split, {}).get(name)
    if recorded is not None and now is not None:
        checks.append(
            {
                "check": f"{monitored}, measured again, is the one that the run recorded ({recorded:.6g})",
                "value": now,
                "threshold": f"relative difference {TOLERANCE:g}",
                "pass": math.isclose(now, recorded, rel_tol=TOLERANCE),
            }
        )
    if baseline is not None:
        checks.append(
            {
                "check": f"mean squared error on {baseline['split']} is below the mean image's",
                "value": baseline["model"],
                "threshold": baseline["mean_image"],
                "pass": baseline["model"] < baseline["mean_image"],
            }
        )
    return checks


def _self_check(run: Run) -> dict[str, Any]:
    images = min(SELF_CHECK_IMAGES, run.streams[evaluation_split(run)].samples)
    metric, value = self_check(run, images)
    return {
        "split": evaluation_split(run),
        "images": images,
        "metric": metric,
        "value": value,
        "relative_tolerance": TOLERANCE,
    }
