"""Trains a small residual network to name the class of an image."""

from engine.trainer import Trainer

TRAINER = Trainer(
    name="classifier_baseline",
    summary="a small residual network that names the class of an image",
    configuration="configs/classifier/classifier_baseline_fashion_mini.yaml",
    models=("classifier_baseline",),
    modules=("classification",),
)

if __name__ == "__main__":
    TRAINER.main()
