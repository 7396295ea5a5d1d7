"""Shows how reconstruction errors are distributed, and how well they tell a class apart that was not trained on."""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rich.table import Table

from firebox.engine.archives.arguments import archive_parser, positive
from firebox.engine.archives.experiment import Findings, concluded, place_of, subject_of
from firebox.engine.archives.loading import load_archive
from firebox.foundation.problems import Problem, Refusal, printable, shown, suggestion

if TYPE_CHECKING:
    import torch

SCORE = "error"
PREDICTIONS = "predictions.csv"
TITLE = "mean squared error per pixel of the reconstruction"


def auroc(scores: torch.Tensor, anomalous: torch.Tensor) -> float:
    """Returns the probability that an anomaly's score is above another image's, ties counted half.

    This is the area under the receiver operating characteristic (Hanley and McNeil, Radiology 143, 1982), without error
    but for the last division.

    Args:
        scores: (N,).
        anomalous: bool (N,), with both values.
    """
    import torch

    values, place = scores.unique(return_inverse=True)
    above = torch.bincount(place[anomalous], minlength=len(values))
    others = torch.bincount(place[~anomalous], minlength=len(values))
    below = others.cumsum(0) - others
    twice = int((above * (2 * below + others)).sum())
    return twice / (2 * int(above.sum()) * int(others.sum()))


def examined(scores: torch.Tensor, classes: Sequence[str], anomaly: str | None) -> Findings:
    """Describes scores by class.

    Args:
        scores: (N,), finite.
        classes: the class of each; empty if they are not known.
        anomaly: the class that is the anomaly; None if none is.

    Raises:
        Refusal: there is no such class, or no other.
    """
    import torch

    from firebox.foundation.histograms import MOST_GROUPS, draw_histograms

    numbers: dict[str, Any] = {"images": len(scores), "score": TITLE}
    names = sorted(set(classes))
    by_class = {name: scores[torch.tensor([other == name for other in classes])] for name in names}
    if anomaly is not None and (anomaly not in by_class or len(names) < 2):
        expected = suggestion(anomaly, names) if names else "but the images have no classes"
        raise Refusal([Problem("", f"--anomaly: got {shown(anomaly)}, {expected}; expected a class beside others")])
    table = Table("class", "images", "median error", "mean error", title=TITLE)
    for name, own in {**by_class, "all": scores}.items():
        table.add_row(name, f"{len(own):,}", f"{own.median():.6f}", f"{own.mean():.6f}")
    numbers["classes"] = {
        name: {"images": len(own), "median": float(own.median()), "mean": float(own.mean())}
        for name, own in by_class.items()
    }
    if anomaly is None:
        groups = list(by_class.items()) if 0 < len(names) <= MOST_GROUPS else [("all images", scores)]
        return Findings(numbers, draw_histograms(groups, TITLE), (table,))
    anomalous = torch.tensor([name == anomaly for name in classes])
    numbers["anomaly"], numbers["auroc"] = anomaly, auroc(scores, anomalous)
    verdict = Table("anomaly", "AUROC", title="how well the error tells it from the others")
    verdict.add_row(anomaly, f"{numbers['auroc']:.4f}")
    picture = draw_histograms([("other classes", scores[~anomalous]), (anomaly, scores[anomalous])], TITLE)
    return Findings(numbers, picture, (table, verdict))


def of_archive(options: argparse.Namespace) -> tuple[Path, dict[str, Any], Findings]:
    """Examines the split on which an archive is evaluated."""
    import torch

    archive = load_archive(options.archive, options.root, trust_code=options.trust_code)
    if not hasattr(archive.module, "pixels") or archive.module.goal != archive.specification:
        raise Refusal([Problem("", f"{archive.path}: anomalies needs a model that reconstructs its input")])
    subject = subject_of(archive, options.count)
    run, specification = archive.run, archive.specification
    stream, names = run.streams[subject.split], specification.classes
    scores, classes = [], []
    with torch.inference_mode():
        for part in stream.in_order(subject.images if subject.count is None else subject.count, 256):
            batch = run.preparation(part)
            made = subject.shown(archive.model(batch.images)).double()
            scores.append((made - specification.to_unit(batch.images)).square().flatten(1).mean(1).cpu())
            classes += [names[label] for label in batch.labels.tolist()] if batch.labels is not None and names else []
    findings = examined(torch.cat(scores), classes, options.anomaly)
    return *place_of(archive), Findings({"split": subject.split, **findings.numbers}, findings.picture, findings.tables)


def of_table(table: Path, options: argparse.Namespace) -> tuple[Path, dict[str, Any], Findings]:
    """Examines the errors that ``predict.py`` found; an image's class is the first folder in which the files differ."""
    import torch

    files, scores = [], []
    try:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row[SCORE]:
                    files.append(row["file"])
                    scores.append(float(row[SCORE]))
    except (KeyError, ValueError, TypeError, csv.Error):
        scores = []
    except OSError as error:
        raise Refusal([Problem("", f"{table} can't be read: {error.strerror}")]) from None
    if not scores or not all(map(math.isfinite, scores)):
        expected = f"expected the {PREDICTIONS} of a model that reconstructs its input, with {SCORE} and file"
        raise Refusal([Problem("", f"{table} has no errors of reconstructions; {expected}")])
    wanted = options.count or len(files)
    findings = examined(torch.tensor(scores[:wanted], dtype=torch.float64), _classes(files)[:wanted], options.anomaly)
    return table.parent, {"predictions": printable(str(table))}, findings


def _classes(files: Sequence[str]) -> list[str]:
    """Returns the class of each file: the first folder in which they differ; nothing if there is none."""
    folders = [PurePosixPath(file).parent for file in files]
    if len({folder.is_absolute() for folder in folders}) > 1:
        return []
    common = PurePosixPath(os.path.commonpath(folders))
    classes = [next(iter(folder.relative_to(common).parts), ".") for folder in folders]
    return classes if len(set(classes)) > 1 else []


def main(arguments: Sequence[str]) -> int:
    """Examines what the arguments name; returns the exit code."""
    parser = archive_parser("Shows the distribution of reconstruction errors, and how well they tell a class apart.")
    parser.add_argument("--anomaly", metavar="CLASS", help="that was not trained on: computes its AUROC")
    parser.add_argument("--count", metavar="N", type=positive, help="images to examine (default: all)")
    parser.epilog = f"Instead of an archive, the {PREDICTIONS} of predict.py may be given, or its folder."
    options = parser.parse_args(arguments)
    given = Path(options.archive)
    table = given if given.is_file() else given / PREDICTIONS
    if table.is_file():
        return concluded("anomalies", lambda: of_table(table, options))
    return concluded("anomalies", lambda: of_archive(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
