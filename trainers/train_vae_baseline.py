"""Trains a variational autoencoder to reproduce images and to draw new ones."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="vae_baseline",
    summary="a convolutional variational autoencoder that reproduces images and draws new ones",
    configuration="configs/vae/vae_baseline_fashion_mini.yaml",
    models=("vae_baseline", "linear_vae"),
    modules=("variational",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
