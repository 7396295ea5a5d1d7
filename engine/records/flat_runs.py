"""Runs as flat rows of a table, and the choice and order of them by the values of its columns."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from firebox.engine.configuration.plain_values import Value, comparable, flattened
from firebox.engine.configuration.quick_loading import QuickLoader
from firebox.engine.records.listing import Listed
from firebox.foundation.problems import Problem, Refusal, shown, similar

Row = dict[str, Value | None]

_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def settings_of(values: Mapping[str, Any]) -> dict[str, Value]:
    """Returns the settings of a recorded configuration by dotted key, such as ``optimizer.lr``.

    Where the output goes is left out; of a user's own file, only its name is kept.
    """
    try:
        return dict(flattened(comparable(dict(values))))
    except RecursionError:
        return {}


def flat(run: Listed) -> Row:
    """Returns a run as one row: its state, ``metrics.validation/loss`` and the like, and each of its settings."""
    done, total = run.epochs or (None, None)
    metric, best = run.best or (None, None)
    return {
        "directory": str(run.path),
        "status": run.state,
        "reason": run.reason,
        "iteration": run.iteration,
        "epochs.done": done,
        "epochs.total": total,
        "changed": run.changed,
        "best.metric": metric,
        "best.value": best,
        "data": run.data,
        **{f"metrics.{name}": value for name, value in run.metrics.items()},
        **settings_of(run.values),
    }


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that rows meet or don't.

    Args:
        key: the column.
        symbol: one of ``<``, ``<=``, ``>``, ``>=``, ``=`` (or ``==``) and ``!=``.
        value: what the column's value is compared with.
    """

    key: str
    symbol: str
    value: Value | None

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Reads a condition such as ``metrics.validation/loss<0.01`` or ``status=completed``.

        Raises:
            Refusal: the text has no operator.
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            message = f"--where: got {shown(text)}; expected KEY, one of < <= > >= = !=, and a value"
            raise Refusal([Problem("", f'{message}, such as "metrics.validation/loss<0.01"')])
        key, symbol, written = match.groups()
        return cls(key, symbol, _value(written))

    def met_by(self, row: Mapping[str, Value | None]) -> bool:
        """Whether a row meets it. Numbers are compared with numbers and texts with texts; nothing else is in order."""
        if self.key not in row:
            return False
        given = row[self.key]
        if self.symbol in ("=", "==", "!="):
            return _OPERATORS[self.symbol]((_kind(given), given), (_kind(self.value), self.value))
        return _kind(given) == _kind(self.value) in ("number", "text") and _OPERATORS[self.symbol](given, self.value)


def _value(text: str) -> Value | None:
    """Returns a value as it would be in a configuration; what YAML can't read is text."""
    try:
        value = yaml.load(text, Loader=QuickLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if value is None or isinstance(value, int | float | str | bool) else str(value)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "text"


def chosen(
    runs: Sequence[Listed], conditions: Sequence[str], sort: str | None = None, *, descending: bool = False
) -> list[Listed]:
    """Returns the runs that meet all conditions, in the order of a column; those without a value there come last.

    Args:
        runs: runs in the order that they keep among equals.
        conditions: conditions as ``Condition.parse`` reads them.
        sort: column to sort by; None to keep the order.
        descending: whether the largest value comes first.

    Raises:
        Refusal: a condition can't be read, or no run has a column.
    """
    wanted = [Condition.parse(text) for text in conditions]
    asked = [("--where", condition.key) for condition in wanted] + ([] if sort is None else [("--sort", sort)])
    if not asked:
        return list(runs)
    rows = [flat(run) for run in runs]
    known = {key for row in rows for key in row}
    unknown = [(option, key) for option, key in asked if rows and key not in known]
    if unknown:
        raise Refusal([Problem("", f"{o}: no run has {shown(key)}{_close(key, known)}") for o, key in unknown])
    pairs = zip(runs, rows, strict=True)
    kept = [(run, row) for run, row in pairs if all(condition.met_by(row) for condition in wanted)]
    if sort is not None:
        with_value = [each for each in kept if each[1].get(sort) is not None]
        with_value.sort(key=lambda each: (_kind(each[1][sort]), each[1][sort]), reverse=descending)
        kept = with_value + [each for each in kept if each[1].get(sort) is None]
    return [run for run, _ in kept]


def _close(key: str, known: Iterable[str]) -> str:
    """Returns a question for the key that was meant; a metric may be written without its section."""
    keys = list(known)
    return f"; did you mean metrics.{key}?" if f"metrics.{key}" in keys else similar(key, keys)
