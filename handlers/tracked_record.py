"""How each experiment tracker begins a record, continues the same one, and is told the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import ignite.handlers
from ignite.handlers.base_logger import BaseLogger


class TrackedRecord:
    """A record of one of Ignite's loggers that can't be continued: a resumed run begins another.

    Args:
        logger: name of Ignite's logger.
        parameters: the logger's arguments by name.
    """

    package: ClassVar[str]
    """What is installed to have the logger."""

    def __init__(self, logger: str, parameters: Mapping[str, Any]) -> None:
        self.logger = logger
        self.parameters = parameters

    def open(self, identity: str | None) -> BaseLogger:
        """Returns the logger of a new record, or of the one that has an identity."""
        opened: BaseLogger = getattr(ignite.handlers, self.logger)(**self.parameters)
        return opened

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
        return ignite.handlers.WandBLogger(**{**continued, **self.parameters})

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.run.id)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.config.update(dict(settings), allow_val_change=True)


class ClearMLRecord(TrackedRecord):
    """A task of ClearML."""

    package = "clearml"

    def open(self, identity: str | None) -> BaseLogger:
        continued = {} if identity is None else {"continue_last_task": identity}
        return ignite.handlers.ClearMLLogger(**{**continued, **self.parameters})

    def identity_of(self, opened: Any) -> str | None:
        return str(opened.get_task().id)

    def describe(self, opened: Any, settings: Mapping[str, Any]) -> None:
        opened.get_task().connect(dict(settings))


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
    "ClearMLLogger": ClearMLRecord,
    "MLflowLogger": MLflowRecord,
    "NeptuneLogger": NeptuneRecord,
    "PolyaxonLogger": PolyaxonRecord,
    "TensorboardLogger": TensorboardRecord,
    "VisdomLogger": VisdomRecord,
    "WandBLogger": WandBRecord,
}
"""By name of Ignite's logger."""
