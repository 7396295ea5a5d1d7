"""Learning-rate schedules, the handler that the section ``scheduler`` names: short name -> "module:Class"."""

CATALOGUE = {
    "cosine": "firebox.handlers.schedules.cosine:Cosine",
    "one_cycle": "firebox.handlers.schedules.one_cycle:OneCycle",
    "piecewise_linear": "firebox.handlers.schedules.piecewise_linear:PiecewiseLinear",
    "reduce_on_plateau": "firebox.handlers.schedules.reduce_on_plateau:ReduceOnPlateau",
    "step": "firebox.handlers.schedules.step:Step",
}
