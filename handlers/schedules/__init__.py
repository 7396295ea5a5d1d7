"""Learning-rate schedules: the handlers named in the section ``scheduler`` of a configuration.

Imports engine and foundation. Add one schedule per file, with a line in the catalogue here: short name ->
"module:Class".
"""

CATALOGUE = {
    "cosine": "firebox.handlers.schedules.cosine:Cosine",
    "one_cycle": "firebox.handlers.schedules.one_cycle:OneCycle",
    "piecewise_linear": "firebox.handlers.schedules.piecewise_linear:PiecewiseLinear",
    "polynomial": "firebox.handlers.schedules.polynomial:Polynomial",
    "reduce_on_plateau": "firebox.handlers.schedules.reduce_on_plateau:ReduceOnPlateau",
    "step": "firebox.handlers.schedules.step:Step",
    "warmup": "firebox.handlers.schedules.warmup:Warmup",
}
