"""Trainers: short name -> "module:declaration"."""

CATALOGUE = {
    "cae_baseline": "trainers.train_cae_baseline:TRAINER",
    "classifier_baseline": "trainers.train_classifier_baseline:TRAINER",
    "vae_baseline": "trainers.train_vae_baseline:TRAINER",
}
