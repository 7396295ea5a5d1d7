"""Handlers, behaviour attached to engine events: short name -> "module:Class"."""

CATALOGUE = {
    "checkpoint": "handlers.checkpoint:Checkpoint",
    "early_stopping": "handlers.early_stopping:EarlyStopping",
    "ema": "handlers.ema:EMA",
    "evaluation": "handlers.evaluation:Evaluation",
    "image_dump": "handlers.image_dump:ImageDump",
    "loss_log": "handlers.loss_log:LossLog",
    "model_summary": "handlers.model_summary:ModelSummary",
    "progress": "handlers.progress:Progress",
    "terminate_on_nan": "handlers.terminate_on_nan:TerminateOnNaN",
    "tracker": "handlers.tracker:Tracker",
}

DEFAULTS = ("evaluation", "terminate_on_nan", "loss_log", "progress", "model_summary", "image_dump", "checkpoint")
"""Attached to every run, each with its defaults, unless the configuration says otherwise."""

SCHEDULERS = {
    "cosine": "handlers.learning_rate:Cosine",
    "one_cycle": "handlers.learning_rate:OneCycle",
    "piecewise_linear": "handlers.learning_rate:PiecewiseLinear",
    "reduce_on_plateau": "handlers.learning_rate:ReduceOnPlateau",
    "step": "handlers.learning_rate:Step",
}
"""Learning-rate schedules: the handler that the section ``scheduler`` names."""
