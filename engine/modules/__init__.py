"""Modules, the training logic around a model: short name -> "module:Class"."""

CATALOGUE = {
    "reconstruction": "engine.modules.reconstruction:Reconstruction",
    "variational": "engine.modules.variational:Variational",
    "classification": "engine.modules.classification:Classification",
}
