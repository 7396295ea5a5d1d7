"""How each experiment tracker begins a record, continues the same one, and is told the settings."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from ignite.handlers.base_logger import BaseLogger

CLOSING_SECONDS = 60.0
"""How long a tracker that knows no limit of its own may take to close."""


class TrackedRecord:
    """A record of a logger for Ignite that can't be continued: a resumed run begins another.

    Args:
        logger: name of the logger.
        parameters: the logger's arguments by name.
    """

    package: ClassVar[str]
    """What is installed to have the logger."""
    module: ClassVar[str] = "ignite.handlers"
    """Where the logger is imported from."""

    def __init__(self, logger: str, parameters: Mapping[str, Any]) -> None:
        self.logger = logger
        self.parameters = parameters

    @property
    def kind(self) -> type[BaseLogger]:
        """The class of the logger, which is imported now."""
        kind: type[BaseLogger] = getattr(importlib.import_module(self.module), self.logger)
        return kind

    def open(self, identity: str | None) -> BaseLogger:
        """Returns the logger of a new record, or of the one that has an identity."""
        return self.kind(**self.parameters)

    def close(self, opened: BaseLogger) -> None:
        """Ends the record once all that it was told is kept or sent."""
        opened.close()

    def identity_of(self, opened: Any) -> str | None:
        """Returns what the record is known by in its tracker; None if it can't be continued."""
        return None

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        """Writes a new run's settings where the tracker shows them."""


class MLflowRecord(TrackedRecord):
    """A run of MLflow."""

    package = "mlflow"

    def open(self, identity: str | None) -> BaseLogger:
        if identity is not None:
            import mlflow

            if self.parameters.get("tracking_uri") is not None:
                mlflow.set_tracking_uri(self.parameters["tracking_uri"])
            mlflow.start_run(run_id=identity)  # Ignite's logger takes the run that is active
        return super().open(None)

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.active_run.info.run_id)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.log_params(settings)


class WandBRecord(TrackedRecord):
    """A run of Weights & Biases."""

    package = "wandb"

    def open(self, identity: str | None) -> BaseLogger:
        continued = {} if identity is None else {"id": identity, "resume": "allow"}
        return self.kind(**{**continued, **self.parameters})

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.run.id)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.config.update(dict(settings), allow_val_change=True)


class ClearMLRecord(TrackedRecord):
    """A task of ClearML."""

    package = "clearml"

    def open(self, identity: str | None) -> Any:
        from clearml.config import config_obj

        # It would report from a process forked off this one, whose threads may hold locks that nobody gives back there;
        # closing then waits for that process, without limit.
        config_obj.get("sdk").put("development.report_use_subprocess", False)
        continued = {} if identity is None else {"continue_last_task": identity}
        opened: Any = self.kind(**{**continued, **self.parameters})
        if identity is not None:
            opened.get_task().set_initial_iteration(0)  # it would add the last iteration to those of the run
        return opened

    def close(self, opened: BaseLogger) -> None:
        # It waits for what has not been sent, without limit.
        closing = threading.Thread(target=opened.close, name="firebox-closing", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)
        if closing.is_alive():
            raise TimeoutError(
                f"{self.logger} has not closed within {CLOSING_SECONDS:g} s; what it has not sent is lost"
            )

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.get_task().id)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.get_task().connect(dict(settings))


class AimRecord(TrackedRecord):
    """A run of Aim, whose logger comes with Aim itself."""

    package = "aim"
    module = "aim.pytorch_ignite"

    def open(self, identity: str | None) -> Any:
        opened: Any = self.kind(**{"val_metric_prefix": "validation_", **self.parameters})
        opened._run_hash = identity  # it goes on with a run that it closed, but is not told of another one's
        return opened

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.experiment.hash)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.log_params(settings)


class NeptuneRecord(TrackedRecord):
    """A run of Neptune."""

    package = "neptune"


class PolyaxonRecord(TrackedRecord):
    """A run of Polyaxon."""

    package = "polyaxon"


class TensorboardRecord(TrackedRecord):
    """A folder of event files."""

    package = "tensorboardX"


class VisdomRecord(TrackedRecord):
    """An environment of Visdom."""

    package = "visdom"


RECORDS: dict[str, type[TrackedRecord]] = {
    "AimLogger": AimRecord,
    "ClearMLLogger": ClearMLRecord,
    "MLflowLogger": MLflowRecord,
    "NeptuneLogger": NeptuneRecord,
    "PolyaxonLogger": PolyaxonRecord,
    "TensorboardLogger": TensorboardRecord,
    "VisdomLogger": VisdomRecord,
    "WandBLogger": WandBRecord,
}
"""By name of the logger."""
