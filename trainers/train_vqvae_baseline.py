"""Trains an autoencoder to reproduce images from the codes of a codebook."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="vqvae_baseline",
    summary="a convolutional autoencoder that reproduces images from codes",
    configuration="configs/vqvae/vqvae_baseline_fashion_mini.yaml",
    models=("vqvae_baseline",),
    modules=("vector_quantised",),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
