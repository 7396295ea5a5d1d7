"""The evaluation of a run on a split."""

from __future__ import annotations

from firebox.data.bases.datamodule import Split
from firebox.engine.training.run import Run
from firebox.engine.training.shared_evaluation import CPU, SharedEvaluation, on


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
    run.record_evaluation(split, metrics if run.world.size == 1 else run.world.broadcast(on(metrics, CPU)))
    return True
