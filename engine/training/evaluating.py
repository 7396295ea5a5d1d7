"""The evaluation of a run on a split."""

from __future__ import annotations

import torch

from firebox.data.bases.datamodule import Split
from firebox.engine.training.processes.shared_evaluation import CPU, SharedEvaluation, on
from firebox.engine.training.run import Run
from firebox.foundation.problems import TrainingFailure

ODD = 0x9E3779B97F4A7C15 - (1 << 64)
"""An odd number, by which multiplying modulo 2**64 loses nothing."""


def evaluate(run: Run, split: Split) -> bool:
    """Evaluates on a split, by all processes together, and records the metrics; returns False if a stop came."""
    stream, shared = run.streams[split], run.evaluator._process_function
    with run.evaluating():
        if isinstance(shared, SharedEvaluation):
            batches, length = shared.own_batches(stream)
            run.evaluator.run(batches, max_epochs=1, epoch_length=length)
        else:
            stream.seek(0)
            run.evaluator.run(stream, max_epochs=1, epoch_length=len(stream))
    if run.stop.requested:
        # Even during the last batch: an evaluation that was told to stop has no metrics.
        return False
    metrics = dict(run.evaluator.state.metrics)
    if run.world.size > 1:
        if not run.spreads:
            require_same_weights(run)
        metrics = run.world.broadcast(on(metrics, CPU))
    run.record_evaluation(split, metrics)
    return True


def require_same_weights(run: Run) -> None:
    """Compares the weights of all processes, each of which makes every step by itself.

    Raises:
        TrainingFailure: those of a process differ, in the first one.
    """
    found = run.world.gather([fingerprint(parameter.detach()) for parameter in run.model.parameters()])
    differing = [str(rank) for rank, weights in enumerate(found) if weights != found[0]]
    if differing:
        raise TrainingFailure(
            f"the weights of rank {', '.join(differing)} are no longer those of the first process: their machines "
            "compute otherwise, or something in a step depends on the process; expected machines of one kind"
        )


def fingerprint(tensor: torch.Tensor) -> int:
    """Returns a number that differs where any bit of a tensor does, as good as surely."""
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    bits = tensor.view(integers).flatten().long()
    places = torch.arange(1, len(bits) + 1, device=tensor.device)
    return int((bits * places * ODD).sum())  # modulo 2**64
