"""Trains a small convolutional GAN to draw images."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="gan_baseline",
    summary="a generator that draws images, against a critic",
    configuration="configs/gan/gan_baseline_fashion_mini.yaml",
    models=("gan_baseline",),
    modules=("gan", "wgan_gp"),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
