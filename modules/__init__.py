"""Modules, the training logic around a model: short name -> "module:Class"."""

CATALOGUE = {
    "reconstruction": "firebox.modules.reconstruction:Reconstruction",
    "variational": "firebox.modules.variational:Variational",
    "classification": "firebox.modules.classification:Classification",
}
