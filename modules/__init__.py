"""Modules, the training logic around a model, and the losses they take: short name -> "module:Class"."""

CATALOGUE = {
    "reconstruction": "firebox.modules.reconstruction:Reconstruction",
    "variational": "firebox.modules.variational:Variational",
    "classification": "firebox.modules.classification:Classification",
}

LOSSES = {
    "mse": "firebox.modules.losses:MSE",
    "l1": "firebox.modules.losses:L1",
    "bce": "firebox.modules.losses:BCE",
    "gaussian": "firebox.modules.losses:Gaussian",
}
