"""Trains a small residual network to name the class of an image, its labels or its values."""

from firebox import Trainer, run_trainer

TRAINER = Trainer(
    name="classifier_baseline",
    summary="a small residual network that names the class of an image, its labels or its values",
    configuration="configs/classifier/classifier_baseline_fashion_mini.yaml",
    models=("classifier_baseline", "timm"),
    modules=("classification", "multilabel", "regression"),
)

if __name__ == "__main__":
    run_trainer(TRAINER)
