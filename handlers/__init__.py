"""Handlers (behaviour attached to engine events), including the learning-rate schedules.

Imports engine, data, models and foundation, and no module. Add one handler per file, with a line in the catalogue here:
short name -> "module:Class".
"""

CATALOGUE = {
    "checkpoint": "firebox.handlers.checkpoint:Checkpoint",
    "device_stats": "firebox.handlers.device_stats:DeviceStats",
    "early_stopping": "firebox.handlers.early_stopping:EarlyStopping",
    "ema": "firebox.handlers.ema:EMA",
    "evaluation": "firebox.handlers.evaluation:Evaluation",
    "histograms": "firebox.handlers.histograms:Histograms",
    "image_dump": "firebox.handlers.image_dump:ImageDump",
    "loss_log": "firebox.handlers.loss_log:LossLog",
    "loss_plot": "firebox.handlers.loss_plot:LossPlot",
    "model_summary": "firebox.handlers.model_summary:ModelSummary",
    "profiler": "firebox.handlers.profiler:Profiler",
    "progress": "firebox.handlers.progress:Progress",
    "pruning": "firebox.handlers.pruning:Pruning",
    "sample_quality": "firebox.handlers.sample_quality:SampleQuality",
    "terminate_on_nan": "firebox.handlers.terminate_on_nan:TerminateOnNaN",
    "tracker": "firebox.handlers.tracker:Tracker",
}

DEFAULTS = (
    "evaluation", "terminate_on_nan", "loss_log", "progress", "model_summary", "image_dump", "loss_plot", "checkpoint",
)  # fmt: skip
"""The handlers attached to every run with their default settings unless the configuration says otherwise."""
