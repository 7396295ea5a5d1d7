"""Trainers: short name -> "module:declaration"."""

CATALOGUE = {
    "cae_baseline": "firebox.trainers.train_cae_baseline:TRAINER",
    "classifier_baseline": "firebox.trainers.train_classifier_baseline:TRAINER",
    "vae_baseline": "firebox.trainers.train_vae_baseline:TRAINER",
}
