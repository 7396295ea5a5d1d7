"""Experiments: scripts that examine an archived model and write their findings beside its read-only content."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.table import Table

from firebox.engine.archives.archive import Archive
from firebox.engine.archives.arguments import archive_parser, positive
from firebox.engine.archives.loading import load_archive
from firebox.engine.records.verification import EXPERIMENTS
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.files import write_whole
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Problem, Refusal

if TYPE_CHECKING:
    import torch

    from firebox.data.bases.datamodule import Split
    from firebox.data.sources.batch import Batch
    from firebox.engine.archives.feature_classifier import FeatureClassifier
    from firebox.engine.training.bases.generative import Generative


DRAWN_TOGETHER = 256
"""Number of images that a model draws at once."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of an experiment: an archived model and a split of its data.

    Args:
        archive: the model and its data.
        split: split to examine: test, or validation if there is no test split.
        count: number given by ``--count``; None for everything.
        judge: classifier given by ``--classifier``, which judges drawn images; None for none.
    """

    archive: Archive
    split: Split
    count: int | None
    judge: FeatureClassifier | None = None

    @property
    def images(self) -> int:
        """The number of images in the split."""
        return self.archive.run.streams[self.split].samples

    def first(self, count: int) -> Batch:
        """Returns the first images of the split as the model sees them, and their labels, on its device."""
        run = self.archive.run
        return run.preparation(run.streams[self.split].first(count))

    def drawn(self, count: int) -> torch.Tensor:
        """Draws images by the run's seed, the same ones each time, (count, C, H, W) in [0, 1]; for modules that do."""
        import torch

        from firebox.foundation.randomness import generator

        archive, noise = self.archive, generator(self.archive.card["seed"], "sample")
        sizes = [len(part) for part in torch.arange(count).split(DRAWN_TOGETHER)]
        with torch.inference_mode():
            parts = [self.generative.sample(size, noise) for size in sizes]
        return archive.specification.to_unit(torch.cat(parts))

    @property
    def autoencoder(self) -> Any:
        """The model, typed loosely because the methods depend on the experiment."""
        return self.archive.model

    @property
    def generative(self) -> Generative:
        """The module; for those that draw images."""
        from firebox.engine.training.bases.generative import Generative

        assert isinstance(self.archive.module, Generative)
        return self.archive.module

    @property
    def diffusion(self) -> Any:
        """The module, typed loosely because the rooms of the engine know none."""
        return self.archive.module

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Converts a model's output to pixels in the data's range, not clamped; for models whose output is images."""
        pixels: torch.Tensor = self.archive.module.pixels(output)  # type: ignore[attr-defined]
        return pixels

    def shown(self, output: torch.Tensor) -> torch.Tensor:
        """Converts a model's output to [0, 1] for display; for models whose output is images."""
        return self.archive.specification.to_unit(self.pixels(output))


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of an experiment.

    Args:
        numbers: content of the experiment's JSON file.
        picture: picture of the experiment's PNG file, uint8 of shape (1 or 3, height, width); None if it draws none.
        tables: tables to print.
    """

    numbers: dict[str, Any]
    picture: torch.Tensor | None = None
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """The declaration of a script in ``experiments/``.

    Args:
        name: name of the files that it writes.
        summary: one line on what it does.
        look: function that examines the subject and returns the findings.
        counts: the things that ``--count`` counts.
        count: default of ``--count``; None for everything.
        needs: methods that the model must have.
        needs_training: what a module must have to have trained the model for this, and how a message calls that.
        needs_images: whether the model's output must be images.
        needs_samples: whether the module must be one that draws images.
        needs_latents: whether there must be latents that are decoded to images, of given images or drawn ones.
        needs_trajectory: whether the module must draw images out of noise step by step.
        judged: whether ``--classifier`` may name an archived classifier.
    """

    name: str
    summary: str
    look: Callable[[Subject], Findings]
    counts: str
    count: int | None = None
    needs: tuple[str, ...] = ()
    needs_training: tuple[str, str] | None = None
    needs_images: bool = False
    needs_samples: bool = False
    needs_latents: bool = False
    needs_trajectory: bool = False
    judged: bool = False

    def main(self) -> NoReturn:
        """Runs the experiment as a script."""
        sys.exit(self.run(sys.argv[1:]))

    def run(self, arguments: Sequence[str]) -> int:
        """Runs the experiment; returns its exit code."""
        options = self._parser().parse_args(arguments)

        def looked() -> tuple[Path, dict[str, Any], Findings]:
            archive = load_archive(options.archive, options.root, trust_code=options.trust_code)
            self._refuse_unfit(archive)
            subject = subject_of(archive, options.count)
            if self.judged and options.classifier is not None:
                subject = replace(subject, judge=judge_of(archive, options.classifier, options.root))
            return *place_of(archive), self.look(subject)

        return concluded(self.name, looked)

    def _parser(self) -> argparse.ArgumentParser:
        parser = archive_parser(self.summary)
        parser.add_argument(
            "--count",
            metavar="N",
            type=positive,
            default=self.count,
            help=f"{self.counts} (default: {'all' if self.count is None else self.count})",
        )
        if self.judged:
            parser.add_argument(
                "--classifier",
                metavar="ARCHIVE",
                help="an archived classifier of the same data, whose features judge the drawn images (default: none)",
            )
        return parser

    def _refuse_unfit(self, archive: Archive) -> None:
        from firebox.engine.training.bases.generative import Generative

        draws = isinstance(archive.module, Generative)
        missing = [f"{name}()" for name in self.needs if not callable(getattr(archive.model, name, None))]
        if self.needs_images and not hasattr(archive.module, "pixels"):
            missing.append("images as output")
        if self.needs_training is not None and not hasattr(archive.module, self.needs_training[0]):
            missing.append(self.needs_training[1])
        if self.needs_samples and not draws:
            missing.append("a distribution to draw images from")
        if self.needs_latents and not (has_latents(archive) or (draws and archive.module.has_latents)):  # type: ignore[attr-defined]
            missing.append("latents that it decodes to images")
        if self.needs_trajectory and not hasattr(archive.module, "trajectory"):
            missing.append("images that come out of noise step by step")
        if missing:
            kind = type(archive.model).__name__
            message = f"{archive.path}: {self.name} needs a model with {' and '.join(missing)}; {kind} has none"
            raise Refusal([Problem("", message)])


def has_latents(archive: Archive) -> bool:
    """Whether a model gives images their latents, and decodes latents to images."""
    both = all(callable(getattr(archive.model, name, None)) for name in ("embed", "decode"))
    return both and hasattr(archive.module, "pixels")


def subject_of(archive: Archive, count: int | None) -> Subject:
    """Returns the split of an archive's data on which it is examined: test, or validation if there is no test split."""
    from firebox.engine.archives.measurement import evaluation_split

    return Subject(archive, evaluation_split(archive.run), count)


def judge_of(archive: Archive, path: str, root: Path) -> FeatureClassifier:
    """Loads the classifier that judges the images that an archived model draws.

    Raises:
        Refusal: it is no classifier, or one of other data.
    """
    from firebox.engine.archives.feature_classifier import FeatureClassifier

    try:
        judge = FeatureClassifier.load(path, root)
    except ValueError as error:
        raise Refusal([Problem("--classifier", str(error))]) from None
    faults = [Problem("--classifier", f"got {path}, {fault}") for fault in judge.faults(archive.specification)]
    if faults:
        raise Refusal(faults)
    return judge


def place_of(archive: Archive) -> tuple[Path, dict[str, Any]]:
    """Returns the folder for findings about an archive, and what they are to say of it."""
    about = {"archive": archive.card["name"], "version": archive.card["version"], "device": str(archive.run.device)}
    return archive.path / EXPERIMENTS, about


def concluded(name: str, look: Callable[[], tuple[Path, Mapping[str, Any], Findings]]) -> int:
    """Looks at the subject of an experiment, prints its tables and writes its files; returns the exit code.

    Args:
        name: name of the files.
        look: function that returns the folder to write to, what is to be said of the subject, and the findings.
    """
    console.start(quiet=False)
    try:
        folder, about, findings = look()
    except BaseException as error:
        console.problems(refusal_of(error))
        return REFUSED
    for table in findings.tables:
        console.tabulate(table)
    try:
        files = _written(name, folder, about, findings)
    except OSError as error:
        console.messages.print(f"can't write: {error}", style="bold red", markup=False)
        return FAILED
    sys.stdout.writelines(f"{file}\n" for file in files)
    return COMPLETED


def _written(name: str, folder: Path, about: Mapping[str, Any], findings: Findings) -> list[Path]:
    from firebox.foundation.pictures import encode

    folder.mkdir(exist_ok=True)
    files = [folder / f"{name}.json"]
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    content = {"experiment": name, **about, "created_utc": created, **findings.numbers}
    write_whole(files[0], json.dumps(content, indent=1) + "\n")
    if findings.picture is not None:
        files.append(folder / f"{name}.png")
        write_whole(files[1], encode(findings.picture))
    return files
