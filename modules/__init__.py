"""Modules (the training logic around a model: steps, metrics, images to show), their losses, and the optimizers.

Imports engine, data, models and foundation, and no handler. Add one kind of training per file, or a loss to losses.py,
with a line in the catalogue here: short name -> "module:Class". Optimizers have their own catalogue, in optimizers.py.
"""

CATALOGUE = {
    "reconstruction": "firebox.modules.reconstruction:Reconstruction",
    "variational": "firebox.modules.variational:Variational",
    "gan": "firebox.modules.gan:GAN",
    "wgan_gp": "firebox.modules.wgan_gp:WGANGP",
    "classification": "firebox.modules.classification:Classification",
    "multilabel": "firebox.modules.multilabel:Multilabel",
    "regression": "firebox.modules.regression:Regression",
    "flow_matching": "firebox.modules.flow_matching:FlowMatching",
    "ddpm": "firebox.modules.ddpm:DDPM",
    "segmentation": "firebox.modules.segmentation:Segmentation",
    "denoising": "firebox.modules.denoising:Denoising",
    "vector_quantised": "firebox.modules.vector_quantised:VectorQuantised",
}

LOSSES = {
    "mse": "firebox.modules.losses:MSE",
    "l1": "firebox.modules.losses:L1",
    "bce": "firebox.modules.losses:BCE",
    "gaussian": "firebox.modules.losses:Gaussian",
}
