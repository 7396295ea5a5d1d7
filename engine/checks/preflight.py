"""The facts that guards check: the configuration, the data's properties, and the run rehearsed on fake tensors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from firebox.data.bases.listed_images import ListedImages
from firebox.data.streaming.epoch import batches_in_epoch
from firebox.engine.checks.attached import Attached
from firebox.engine.checks.locating import located
from firebox.engine.configuration import Configuration, Named
from firebox.engine.configuration.trainer import Trainer
from firebox.engine.records.run_directory import RunDirectory, has_checkpoints
from firebox.engine.training.bases.handler import Handler
from firebox.engine.world.world import ALONE, World
from firebox.foundation.problems import Problem, Refusal, in_one_line

if TYPE_CHECKING:
    from firebox.data.bases.datamodule import DataModule, Samples, Split
    from firebox.data.declarations.specification import ImageSpecification
    from firebox.engine.checks.costs import Costs
    from firebox.engine.checks.output import Output
    from firebox.engine.checks.rehearsal import Rehearsal
    from firebox.engine.training.run import Run

logger = logging.getLogger("firebox")

T = TypeVar("T")


class Unavailable(Exception):
    """Raised for a fact that can't be determined: its failure has been reported, or there is no rehearsal."""


class Preflight:
    """The facts that guards check. Each is read or computed when a guard first asks for it.

    Args:
        configuration: the run's configuration.
        trainer: the trainer that was asked to train; None if an Engine is used from Python.
        resumed: the directory of the run to resume; None for a new run.
        run: the assembled run; None if it is to be rehearsed on fake tensors.
        data: the data that the configuration names; None to construct it.
        world: processes that are to train the run.
    """

    def __init__(
        self,
        configuration: Configuration,
        trainer: Trainer | None = None,
        *,
        resumed: RunDirectory | None = None,
        run: Run | None = None,
        data: DataModule | None = None,
        world: World = ALONE,
    ) -> None:
        self.configuration = configuration
        self.trainer = trainer
        self.resumed = resumed
        self.assembled = run is not None
        self.world = world if run is None else run.world
        self.failures: list[Problem] = []
        """Components that could not be constructed."""
        self.step_failures: list[Problem] = []
        """Steps that fail."""
        self._run = run
        self._data = data if run is None else run.data
        self._failed: set[str] = set()
        self._module_faults: tuple[str, ...] = ()

    def problem(self, message: str, *path: str) -> Problem:
        """Makes a problem located at a value of the configuration.

        Args:
            message: what was given, what is expected, and a way out.
            path: the keys that lead to the value, such as ``"model", "latent_dim"``.
        """
        return Problem(".".join(path), message, self.configuration.nearest_mark(*path))

    def handlers_of(self, kind: type) -> list[Attached]:
        """Returns the handlers, including the schedule, that are instances of a class or of one derived from it."""
        return [attached for attached in self._handlers if issubclass(attached.kind, kind)]

    @cached_property
    def _handlers(self) -> list[Attached]:
        """The handlers whose classes can be loaded; the others are failures."""
        configuration = self.configuration
        parts: list[tuple[tuple[str, ...], Named]]
        parts = [(("handlers", named.written), named) for named in configuration.handlers]
        parts += [] if configuration.scheduler is None else [(("scheduler",), configuration.scheduler)]
        for name, schedule in configuration.scheduler_parts.items():
            parts += [] if schedule is None else [(("scheduler", "parts", name), schedule)]
        found = []
        from firebox.engine.training.bases.families import require_family

        for path, named in parts:
            try:
                kind = named.component.target.load()
                if isinstance(kind, type):
                    require_family(named.component.kind, kind)
            except Exception as error:
                self._unusable(path, named, error)
                continue
            if isinstance(kind, type):
                found.append(Attached(path, named, kind))
        return found

    def built(self, attached: Attached) -> Handler | None:
        """Returns a handler constructed outside any run; None if that fails, which is recorded as a failure."""
        from firebox.engine.training.bases.families import made

        try:
            handler: Handler = made(attached.named)
        except Exception as error:
            self._unusable(attached.path, attached.named, error)
            return None
        return handler

    def _unusable(self, path: tuple[str, ...], named: Named, error: Exception) -> None:
        key = ".".join(path)
        logger.debug("%s can't be constructed", key, exc_info=True)
        self.failures.append(located(Problem(key, in_one_line(error), named.mark), self.configuration))

    @cached_property
    def data(self) -> DataModule:
        """The datamodule or datagenerator; constructing one reads nothing."""
        if self._data is not None:
            return self._data
        from firebox.engine.training.bases.families import made
        from firebox.engine.training.reading.streams import as_configured

        named = self.configuration.data.named
        data: DataModule = self._asked(self.configuration.data.kind, "construct", lambda: made(named))
        return as_configured(data, self.configuration)

    @cached_property
    def specification(self) -> ImageSpecification:
        """Shape, range and classes of the data."""
        data = self.data
        return self._asked(self.configuration.data.kind, "specification", lambda: data.specification)

    @cached_property
    def missing(self) -> str | None:
        """The missing files of the data and where to put them; None if nothing is missing."""
        data = self.data
        return self._asked(self.configuration.data.kind, "missing", lambda: data.missing())

    @cached_property
    def split_lengths(self) -> dict[Split, int]:
        """The number of samples in each split."""
        data = self.data
        return self._asked(self.configuration.data.kind, "split_lengths", lambda: dict(data.split_lengths))

    @property
    def _samples(self) -> Samples:
        """The kind of samples that the run will read."""
        data = self.data.whole
        prepared = isinstance(data, ListedImages) and self.configuration.data.loading.cache_folder is not None
        return "prepared" if prepared else data.reads

    @cached_property
    def epoch_length(self) -> int:
        """Iterations in an epoch."""
        loading = self.configuration.data.loading
        length = self.split_lengths.get("train")
        if not isinstance(length, int) or length < 1:
            raise Unavailable
        batches = batches_in_epoch(length, loading.batch_size, drop_last=loading.drop_last)
        if not batches:
            raise Unavailable
        return batches

    @property
    def total_iterations(self) -> int:
        """Iterations in the whole run."""
        return self.configuration.training.epochs * self.epoch_length

    @property
    def run(self) -> Run:
        """The run assembled by the ordinary factory, on real or on fake tensors."""
        return self._run if self._run is not None else self.rehearsal.run

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """The run on fake tensors."""
        if self.assembled:
            raise Unavailable
        specification, lengths, _ = self.specification, self.split_lengths, self.epoch_length
        if "rehearsal" in self._failed:
            raise Unavailable
        from firebox.engine.checks.rehearsal import NEEDS_VALUES, Rehearsal

        try:
            return Rehearsal(
                self.configuration,
                specification,
                lengths,
                samples=self._samples,
                dtype=self._asked(self.configuration.data.kind, "dtype", lambda: self.data.dtype),
                warm_start=not has_checkpoints(self.resumed),
            )
        except Refusal as refusal:
            self._failed.add("rehearsal")
            if isinstance(refusal.__cause__, NEEDS_VALUES):
                self._not_rehearsed(refusal.problems[0].key, refusal.__cause__)
            else:
                self.failures += [located(problem, self.configuration) for problem in refusal.problems]
        except NEEDS_VALUES as error:
            self._failed.add("rehearsal")
            self._not_rehearsed("the run", error)
        except Exception as error:
            self._failed.add("rehearsal")
            logger.debug("the run can't be assembled", exc_info=True)
            self.failures.append(self.problem(f"can't be assembled: {in_one_line(error)}", "model"))
        raise Unavailable

    @cached_property
    def output(self) -> Output:
        """The model's output for a training batch."""
        output = self.rehearsal.output()
        if output is None:
            raise Unavailable
        return output

    @cached_property
    def costs(self) -> Costs:
        """The run's costs, from a training and an evaluation step of every batch size that will occur."""
        rehearsal = self.rehearsal
        if "steps" in self._failed:
            raise Unavailable
        from firebox.engine.checks.rehearsal import NEEDS_VALUES, StepFailure
        from firebox.engine.training.steps.terms import UnusableModule

        try:
            spreads = self.configuration.training.parallel == "fsdp"
            return rehearsal.steps().spread_over(self.world.size if spreads else 1)
        except UnusableModule as unusable:
            self._failed.add("steps")
            self._module_faults = unusable.faults
        except StepFailure as failure:
            self._failed.add("steps")
            cause = failure.__cause__
            assert cause is not None
            if isinstance(cause, NEEDS_VALUES):
                self._not_rehearsed("model" if failure.of_model else "module", cause)
            else:
                logger.debug("%s fails", failure.step, exc_info=True)
                self.step_failures.append(self._step_problem(failure.step, cause, of_model=failure.of_model))
        raise Unavailable

    @property
    def module_faults(self) -> tuple[str, ...]:
        """Faults in what the module's rehearsed steps return, where the steps themselves succeed."""
        try:
            _ = self.costs
        except Unavailable:
            if not self._module_faults:
                raise
        return self._module_faults

    @property
    def output_activation(self) -> str | None:
        """The final activation of the model's output, as observed or else as the model declares it; None if unknown."""
        declared = getattr(self.run.model, "output_activation", None)
        declared = declared if isinstance(declared, str) else None
        try:
            return self.output.activation or declared
        except Unavailable:
            return declared

    def _asked(self, key: str, what: str, question: Callable[[], T]) -> T:
        """Returns the answer of the user's code; an exception becomes a failure that is reported once."""
        if what in self._failed:
            raise Unavailable
        try:
            return question()
        except Unavailable:
            raise
        except Exception as error:
            self._failed.add(what)
            if what in ("specification", "split_lengths") and self.missing is not None:
                raise Unavailable from error  # the missing files are reported
            logger.debug("%s: %s fails", key, what, exc_info=True)
            mark = self.configuration.nearest_mark(key, "name")
            self.failures.append(located(Problem(key, in_one_line(error), mark), self.configuration))
            raise Unavailable from error

    def _step_problem(self, step: str, error: BaseException, *, of_model: bool) -> Problem:
        images = f"images of shape {self.specification.shape} of {self.configuration.data.named.written}"
        part = "model" if of_model else "module"
        message = f"{step} fails on {images}, expected a {part} that takes them: {in_one_line(error)}"
        return self.problem(message, part, "name")

    def _not_rehearsed(self, what: str, error: BaseException) -> None:
        reason = in_one_line(error)
        logger.warning("%s looks at the values of tensors, which a check before training has none of: %s", what, reason)
