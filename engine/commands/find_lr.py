"""Look for a learning rate: train with a growing one until the loss diverges, and suggest one."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from firebox.engine.commands.config import trainer_of
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, FAILED, REFUSED
from firebox.foundation.places import refusal_of
from firebox.foundation.problems import Interrupted, Problem, Refusal, setting

if TYPE_CHECKING:
    from firebox.engine.search.learning_rate import Found


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="override a value")
    parser.add_argument("--trainer", metavar="NAME", help="trainer (default: the one that CONFIG names)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write a plot, as PNG (default: none)")
    parser.add_argument("--from", metavar="LR", dest="lowest", type=_rate, default=1e-6, help="default: 1e-6")
    parser.add_argument("--to", metavar="LR", dest="highest", type=_rate, default=1.0, help="default: 1")
    parser.add_argument("--iterations", metavar="N", type=_number, default=100, help="default: 100")
    parser.add_argument("--optimizer", metavar="NAME", help="one of several optimizers; the others keep their rates")


def run(options: argparse.Namespace) -> int:
    from firebox.engine.launch.admission import Request
    from firebox.engine.search.learning_rate import Range, find
    from firebox.engine.training.limits.stopping import StopRequest
    from firebox.engine.training.limits.watch import Overdue

    console.start(quiet=True)
    stop = StopRequest()
    with stop.listening():
        try:
            if options.lowest >= options.highest:
                given = f"got {options.lowest:g} and {options.highest:g}"
                raise Refusal([Problem("", f"--from and --to: {given}, expected the first to be lower")])
            trainer = trainer_of(options.config, options.trainer)
            tried = Range(options.lowest, options.highest, options.iterations, options.optimizer)
            found = find(Request(trainer, options.config, options.set, quiet=True), tried, stop)
            if options.output is not None:
                _draw(found, options.output, options.config)
        except (Interrupted, Overdue):
            return stop.exit_code
        except BaseException as error:
            console.refused(refusal_of(error))
            return REFUSED
    return _say(found, options.optimizer)


def _say(found: Found, optimizer: str | None) -> int:
    at, lowest = found.lowest
    console.messages.print(f"{len(found.losses)} iterations, from {found.rates[0]:.3g} to {found.rates[-1]:.3g}")
    beyond = "; it may fall further beyond that: --to" * (at == found.rates[-1])
    console.messages.print(f"lowest loss {lowest:.4g} at {at:.3g}{'; then it diverged' * found.diverged}{beyond}")
    if found.suggestion is None:
        reason = "the loss does not fall; expected other bounds: --from and --to"
        console.messages.print(f"nothing to suggest: {reason}", style="yellow", markup=False)
        return FAILED
    console.messages.print(f"steepest fall at {found.steepest:.3g}; suggested, a tenth of the rate of the lowest loss:")
    key = "optimizer.lr" if optimizer is None else f"optimizer.parts.{optimizer}.lr"
    sys.stdout.write(f"{setting(key, f'{found.suggestion:.2e}')}\n")
    return COMPLETED


def _draw(found: Found, path: Path, config: Path) -> None:
    from firebox.foundation.files import write_whole
    from firebox.foundation.learning_rate_plot import draw_learning_rates
    from firebox.foundation.pictures import encode

    suggested = "" if found.suggestion is None else f", suggested {found.suggestion:.2e}"
    picture = draw_learning_rates(found.rates, found.losses, found.suggestion, f"{config.name}{suggested}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, encode(picture))
    except OSError as error:
        raise Refusal([Problem("", f"--output: can't write {path}: {error.strerror or error}")]) from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a positive number")
    return rate


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 3:
        raise argparse.ArgumentTypeError(f"got {text}, expected an integer of at least 3")
    return number
