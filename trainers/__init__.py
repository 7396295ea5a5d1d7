"""Trainers, the scripts that users start: a default configuration and what it accepts, without training logic.

Imports the public face, ``from firebox import ...``, and nothing from inside. Add one script per trainer, with a line
in the catalogue here: short name -> "module:declaration".
"""

CATALOGUE = {
    "cae_baseline": "firebox.trainers.train_cae_baseline:TRAINER",
    "classifier_baseline": "firebox.trainers.train_classifier_baseline:TRAINER",
    "denoising_baseline": "firebox.trainers.train_denoising_baseline:TRAINER",
    "diffusion_baseline": "firebox.trainers.train_diffusion_baseline:TRAINER",
    "gan_baseline": "firebox.trainers.train_gan_baseline:TRAINER",
    "restoration_baseline": "firebox.trainers.train_restoration_baseline:TRAINER",
    "unet_baseline": "firebox.trainers.train_unet_baseline:TRAINER",
    "vae_baseline": "firebox.trainers.train_vae_baseline:TRAINER",
    "vqvae_baseline": "firebox.trainers.train_vqvae_baseline:TRAINER",
}
