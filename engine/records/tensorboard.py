"""TensorBoard's event files, written synchronously."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
from tensorboardX.record_writer import RecordWriter
from tensorboardX.writer import FileWriter

from firebox.foundation.observing import Observer
from firebox.foundation.problems import printable

NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.")
"""Of an event file; the number is the second that it was made in, since 1970."""


class EventFile(FileWriter):
    """tensorboardX's file writer without its queue and threads.

    tensorboardX hands each event through a pipe to a thread that writes it: ``flush`` then misses what is under way, a
    full disk kills the thread without a word, and an event costs four times as much. Here an event is in the file's
    buffer when the call returns. What fails is said once, and then no more is written: a run needs no event files.

    Args:
        folder: the folder of the event files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._default_metadata: dict[str, Any] = {}
        self.observer = Observer("TensorBoard")
        self.event_writer: Any = self.observer.call(_Direct, folder) or _Nothing()

    def add_event(self, event: Any, step: int | None = None, walltime: float | None = None) -> None:
        if not self.observer.off:
            self.observer.call(super().add_event, event, step, walltime)

    def show(self) -> None:
        if not self.observer.off:
            self.observer.call(self.event_writer.show)

    def flush(self) -> None:
        if not self.observer.off:
            self.observer.call(super().flush)

    def close(self) -> None:
        self.observer.call(super().close)

    def get_logdir(self) -> str:
        return str(self._folder)


class _Direct:
    """The part of tensorboardX's event writer that its file writer calls.

    TensorBoard reads files in the order of their names, which begin with the second that they were made in, and what a
    resumed run purges comes before. So a file's name and its events are later than all that is there, even where the
    clock was set back.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        before = [path for path in folder.iterdir() if NAME.match(path.name)]
        named = max((int(NAME.match(path.name)[1]) for path in before), default=-1)  # type: ignore[index]
        self._latest = max([time.time(), named + 1, *(path.stat().st_mtime for path in before)])
        # A name of its own where two runs, of a copy or of another machine, begin within a second.
        own = f"{socket.gethostname()}.{os.getpid()}.{time.time_ns() % 10**9:09d}"
        self._file = RecordWriter(str(folder / f"events.out.tfevents.{int(self._latest):010d}.{own}"))
        self._lock = threading.Lock()
        self.add_event(Event(file_version="brain.Event:2", wall_time=self._latest))

    def add_event(self, event: Any) -> None:
        with self._lock:
            self._latest = event.wall_time = max(self._latest, event.wall_time)
            self._file.write(event.SerializeToString())

    def show(self) -> None:
        """Hands what was added to the operating system, so that a reader sees it."""
        # tensorboardX's flush waits for the disk, for milliseconds; for a reader it is enough to empty the buffer.
        with self._lock:
            self._file._writer.flush()  # type: ignore[union-attr]

    def flush(self) -> None:
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        with self._lock:
            try:
                self._file.flush()
            finally:
                self._file.close()


class _Nothing:
    """Stands for a file that could not be made."""

    def add_event(self, event: Any) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoardWriter(SummaryWriter):
    """tensorboardX's writer on an ``EventFile``.

    Args:
        folder: the folder of the event files.
        purge_step: the first step whose points in earlier files are hidden; None if there are no earlier files.
    """

    def __init__(self, folder: Path, *, purge_step: int | None = None) -> None:
        self.continues = purge_step is not None
        self._file: Any = EventFile(folder)
        super().__init__(str(folder))
        if purge_step is not None:
            # TensorBoard takes the first start that it reads for the run's own, and hides nothing at that one.
            for _ in range(2):
                self._file.add_event(Event(session_log=SessionLog(status=SessionLog.START)), purge_step)

    def _get_file_writer(self) -> Any:
        self.file_writer = self._file
        self.all_writers = {self._file.get_logdir(): self._file}  # type: ignore[assignment]
        return self._file

    def show(self) -> None:
        """Lets readers see all that was added before, without waiting for the disk."""
        self._file.show()

    def flush(self) -> None:
        """Flushes everything added so far to disk."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._file.close()

    def add_values(self, values: dict[str, float], iteration: int) -> None:
        """Adds several scalars as one event.

        Args:
            values: the scalars by tag.
            iteration: the iteration that they belong to.
        """
        self._file.observer.call(self._add_values, values, iteration)

    def _add_values(self, values: dict[str, float], iteration: int) -> None:
        summary = Summary(
            value=[Summary.Value(tag=printable(tag), simple_value=value) for tag, value in values.items()]
        )
        self._file.add_summary(summary, iteration)

    def add_png(self, tag: str, png: bytes, shape: tuple[int, int, int], iteration: int) -> None:
        """Adds an encoded image.

        Args:
            tag: the image's tag.
            png: the encoded image.
            shape: the image's shape, (C, H, W).
            iteration: the iteration that it belongs to.
        """
        channels, height, width = shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
        self._file.add_summary(Summary(value=[Summary.Value(tag=printable(tag), image=image)]), iteration)

    def add_markdown(self, tag: str, text: str, iteration: int) -> None:
        """Adds a text to the TEXT tab.

        Args:
            tag: the text's tag.
            text: the text, in Markdown.
            iteration: the iteration that it belongs to.
        """
        self._file.observer.call(self._add_markdown, tag, text, iteration)

    def _add_markdown(self, tag: str, text: str, iteration: int) -> None:
        from tensorboardX.summary import text as summary_of

        summary = summary_of(tag, text)
        summary.value[0].tag = tag  # without the suffix that tensorboardX adds
        self._file.add_summary(summary, iteration)

    def add_hyper_parameters(self, parameters: dict[str, Any]) -> None:
        """Adds this run to the HPARAMS tab, beside whose parameters TensorBoard shows all of the run's scalars.

        Args:
            parameters: numbers, strings and booleans by name.
        """
        self._file.observer.call(self._add_hyper_parameters, parameters)

    def _add_hyper_parameters(self, parameters: dict[str, Any]) -> None:
        from tensorboardX.summary import hparams

        texts = {printable(k): printable(v) if isinstance(v, str) else v for k, v in parameters.items()}
        # Without the first, in which a run claims to know the columns of all: TensorBoard would take those of one run
        # alone, and not show the parameters that only other runs have.
        for summary in hparams(texts, {})[1:]:
            self._file.add_summary(summary)
