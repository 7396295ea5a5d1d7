"""What is refused before training: a mistake, the key that is named, and what the message says."""

from pathlib import Path

import pytest

from firebox.data.assets.make_pairs import make
from firebox.engine.checks.report import preflight
from firebox.engine.commands.train import trainers
from firebox.engine.configuration import read
from firebox.foundation.problems import Refusal
from tests import ways_out

CAE, VAE, CLASSIFIER, UNET = "cae_baseline", "vae_baseline", "classifier_baseline", "unet_baseline"
RESTORATION, DENOISING, VQVAE = "restoration_baseline", "denoising_baseline", "vqvae_baseline"
QUANTISED = Path(__file__).parents[2] / "quantised_components.py"
DIFFUSION, GAN = "diffusion_baseline", "gan_baseline"
SMALL = "model={name: diffusion_unet, channels: [4], blocks: 1, embedding_dim: 8}"
NO_DATAMODULE = "datamodule=null"

CASES = {
    "noise_on_pixels_from_zero": (
        DIFFUSION,
        [SMALL, 'datamodule.pixel_range="[0,1]"'],
        "datamodule.pixel_range",
        "got [0,1], but flow_matching adds noise of zero mean and unit variance, which pixels around 0 end in",
    ),
    "a_schedule_that_leaves_something_of_the_image": (
        DIFFUSION,
        [SMALL, "module={name: ddpm, schedule: linear, timesteps: 100}"],
        "module.timesteps",
        "got 100, at the end of which the schedule linear leaves 0.36 of an image's variance",
    ),
    "epsilon_where_nothing_is_left_of_the_image": (
        DIFFUSION,
        [SMALL, "module={name: ddpm, prediction: epsilon, zero_terminal_snr: true}"],
        "module.prediction",
        "got epsilon with zero_terminal_snr: at the last timestep the input is noise alone",
    ),
    "guidance_without_label_dropout": (
        DIFFUSION,
        [SMALL, "module={name: flow_matching, guidance_scale: 2.0, label_dropout: 0}"],
        "module.guidance_scale",
        "got 2, but label_dropout is 0: the network never learns to do without a class",
    ),
    "guidance_without_classes": (
        DIFFUSION,
        [
            "datamodule={name: image_folder, root: UNLABELLED, image_size: [16, 16], batch_size: 1}",
            'datamodule.pixel_range="[-1,1]"',
            "module={name: flow_matching, guidance_scale: 2.0}",
            SMALL,
        ],
        "module.guidance_scale",
        "got 2, but the data has no classes; expected 1, or a data set with classes",
    ),
    "more_sampling_steps_than_timesteps": (
        DIFFUSION,
        [SMALL, "module={name: ddpm, timesteps: 50, sampling_steps: 51}"],
        "module.sampling_steps",
        "got 51, expected at most 50, the number of timesteps",
    ),
    "sides_that_a_diffusion_unet_cant_halve": (
        DIFFUSION,
        ["model.channels=[8,8,8]"],
        "model.channels",
        "got 3 stages for 28x28 images, whose sides they halve 3 times without a rest; expected 1 to 2",
    ),
    "a_bounded_output_for_noise": (
        DIFFUSION,
        ["model={name: firebox.models.cae_baseline:CAEBaseline, output_activation: tanh}"],
        "model.output_activation",
        "got tanh, but the module takes the output for noise, which has no bounds",
    ),
    "half_precision_without_a_watch_for_nan": (
        DIFFUSION,
        [SMALL, "training.precision=float16", "training.device=cpu", "handlers.terminate_on_nan=false"],
        "handlers.terminate_on_nan",
        "got false, but training.precision float16 overflows easily, and nothing would say so",
    ),
    "segmentation_of_data_without_masks": (
        UNET,
        ["datagenerator.target=class"],
        "module",
        "needs data whose samples have a mask, got a class of 3",
    ),
    "classification_of_masks": (
        CLASSIFIER,
        [NO_DATAMODULE, "datagenerator={name: shapes, target: mask}"],
        "module",
        "needs data whose samples have a class, got a mask of 4 classes",
    ),
    "a_classifier_for_masks": (
        UNET,
        ["model={name: firebox.models.classifier_baseline:ClassifierBaseline}"],
        "model.name",
        "its output has shape (4,), expected (4, 32, 32): a logit for each class and pixel of shapes",
    ),
    "a_timm_network_of_classes_for_masks": (
        UNET,
        ["model={name: timm, architecture: resnet10t}"],
        "model.name",
        "expected (4, 32, 32): a logit for each class and pixel of shapes; --set model.output=pixels",
    ),
    "a_timm_network_of_pixels_for_classes": (
        CLASSIFIER,
        ["model={name: timm, architecture: resnet10t, output: pixels}"],
        "model.name",
        "expected (10,): a logit for each class of fashion_mini; --set model.output=class",
    ),
    "more_stages_than_a_unets_image_has_room_for": (
        UNET,
        ["model.channels=[8,8,8,8,8,8]"],
        "model.channels",
        "got 6 stages for 32x32 images, expected 1 to 5",
    ),
    "too_few_class_weights": (
        UNET,
        ["module.class_weights=[1,2]"],
        "module.class_weights",
        "got 2 weights, expected one for each of 4 classes: background, ellipse, rectangle, triangle",
    ),
    "a_residual_of_other_channels": (
        RESTORATION,
        ["datamodule={name: fashion_mini}"],
        "model.residual",
        "an output of 10 channels, expected 1",
    ),
    "pairs_that_nobody_has_made": (
        RESTORATION,
        [],
        "datamodule.name",
        "make it: python -m firebox.data.assets.make_pairs datasets/fashion_mini_pairs",
    ),
    "noise_in_the_target": (
        DENOISING,
        ["datamodule.augmentations=[random_horizontal_flip, {random_gaussian_noise: {std: 0.3}}]"],
        "datamodule.augmentations.1",
        "got random_gaussian_noise, which is in the images that the module denoising takes for clean, too; leave",
    ),
    "noise_in_the_unit_of_bytes": (
        DENOISING,
        ["module.sigma=25"],
        "module.sigma",
        "got 25, but the pixels reach from 0 to 1, in which sigma is stated; expected at most 1; for 25 of 255, --set",
    ),
    "cut_noise_and_the_linear_reference": (
        DENOISING,
        ["module.clip=true", "model={name: linear_autoencoder}"],
        "module.clip",
        "got true, but the optimum of a linear model is known for noise that is Gaussian",
    ),
    "images_drawn_from_the_prior_of_a_model_without_one": (
        VAE,
        ["model={name: 'firebox.models.vqvae_baseline:VQVAEBaseline'}"],
        "model.name",
        "got VQVAEBaseline, which lacks reparameterise, latent_dim; the module variational expects a model with encode",
    ),
    "a_model_without_a_codebook": (
        VQVAE,
        ["model={name: 'firebox.models.cae_baseline:CAEBaseline'}"],
        "model.name",
        "got CAEBaseline, which lacks quantise, codebook, latent_shape; the module vector_quantised expects a model",
    ),
    "a_model_without_a_critic": (
        GAN,
        ["model={name: 'firebox.models.diffusion_unet:DiffusionUNet'}"],
        "model.name",
        "got DiffusionUNet, which lacks generator, critic, latent_dim; the module gan expects a model with generator",
    ),
    "an_encoder_of_other_channels_than_the_codebook": (
        VQVAE,
        [f"model={{name: '{QUANTISED}:Narrow'}}"],
        "model.name",
        "the codebook's vectors have 16 entries, but the latents have the shape (64, 784, 1, 1); expected (N, 16, ...)",
    ),
    "latents_whose_channels_come_last": (
        VQVAE,
        [f"model={{name: '{QUANTISED}:TornApart'}}"],
        "model.name",
        "the latents have the shape (64, 1, 1, 784); expected (N, 784, ...): an encoder that ends in embedding_dim",
    ),
    "more_codes_than_the_first_batch_has_latents": (
        VQVAE,
        ["model.num_embeddings=256", "datamodule.batch_size=5"],
        "model.num_embeddings",
        "got 256, but the first batch, 5 images of 7x7 latents, has 245 to begin the codebook with, which would leave",
    ),
    "a_codebook_that_is_trained_as_well": (
        VQVAE,
        [f"model={{name: '{QUANTISED}:Trained'}}"],
        "module.name",
        "the optimizer main trains codebook.embeddings, which follows the latents as a moving average: gradients and",
    ),
    "microbatches_and_a_codebook": (
        VQVAE,
        ["training.accumulation=2"],
        "training.accumulation",
        "got 2, but a step of the module vector_quantised changes what the next microbatch would see; expected 1",
    ),
    "drawn_samples_in_memory": (
        CAE,
        ["datamodule=null", "datagenerator={name: shapes, placement: memory}"],
        "datagenerator.placement",
        "got memory, but shapes draws new samples each epoch; expected auto or stream",
    ),
    "balanced_samples_that_are_drawn": (
        CLASSIFIER,
        ["datamodule=null", "datagenerator={name: shapes, sampling: balanced}"],
        "datagenerator.sampling",
        "got balanced, but shapes draws new samples each epoch, and their classes with them; expected shuffled",
    ),
    "balanced_samples_without_classes": (
        CAE,
        ["datamodule={name: image_folder, root: UNLABELLED, image_size: [16, 16], batch_size: 1, sampling: balanced}"],
        "datamodule.sampling",
        "got balanced, but a sample of image_folder has no target; expected shuffled, or data whose",
    ),
    "a_limit_below_the_number_of_classes": (
        CLASSIFIER,
        ["datamodule.limit=9", "datamodule.batch_size=9"],
        "datamodule.limit",
        "got 9, but fashion_mini has 10 classes; expected at least one sample of each: --set datamodule.limit=10",
    ),
    "a_limit_of_zero": (CAE, ["datamodule.limit=0"], "datamodule.limit", "got 0, expected a positive integer"),
    "a_limit_below_a_batch": (
        CAE,
        ["datamodule.limit=50"],
        "datamodule.batch_size",
        "got 64, but the training split of fashion_mini has 50 images; expected at most 50",
    ),
    "a_fold_that_there_is_not": (
        CAE,
        ["datamodule.folds={count: 5, index: 5}"],
        "datamodule.folds",
        "got {count: 5, index: 5}, expected an index from 0 to 4",
    ),
    "half_of_what_a_fold_is": (
        CAE,
        ["datamodule.folds={count: 5}"],
        "datamodule.folds",
        "expected both count and index: {count: 5, index: 0}",
    ),
    "folds_that_are_no_map": (
        CAE,
        ["datamodule.folds=5"],
        "datamodule.folds",
        "got 5, expected a map of count and index, such as {count: 5, index: 0}",
    ),
    "folds_beside_a_fraction": (
        CAE,
        ["datamodule.folds={count: 5, index: 0}", "datamodule.validation_fraction=0.2"],
        "datamodule.validation_fraction",
        "got 0.2 beside folds, one of which is validated on; expected one of the two",
    ),
    "more_folds_than_samples": (
        CAE,
        ["datamodule.folds={count: 6001, index: 0}"],
        "datamodule.folds",
        "got {count: 6001, index: 0}, but there are 6,000 training samples; expected a count of at most 6000",
    ),
    "sigmoid_and_bce_with_logits": (
        CAE,
        ["module.loss=bce"],
        "model.output_activation",
        "got sigmoid, but the loss bce takes",
    ),
    "tanh_and_bce_with_logits": (
        CAE,
        ["module.loss=bce", "model.output_activation=tanh"],
        "model.output_activation",
        "expected linear: --set model.output_activation=linear, or --set module.loss=mse",
    ),
    "sigmoid_and_bce_in_a_vae": (
        VAE,
        ["model.output_activation=sigmoid"],
        "model.output_activation",
        "or --set module.loss=gaussian",
    ),
    "sigmoid_and_pixels_from_minus_one": (
        CAE,
        ['datamodule.pixel_range="[-1,1]"'],
        "model.output_activation",
        "got sigmoid, whose values lie in [0,1], but datamodule.pixel_range is [-1,1]; expected tanh or linear",
    ),
    "sigmoid_and_standardised_pixels": (
        CAE,
        ["datamodule.pixel_range=standardised"],
        "model.output_activation",
        'expected linear, or --set datamodule.pixel_range="[0,1]"',
    ),
    "tanh_and_pixels_from_zero": (
        CAE,
        ["model.output_activation=tanh"],
        "model.output_activation",
        "expected sigmoid or linear",
    ),
    "bce_and_pixels_from_minus_one": (
        VAE,
        ["datamodule.pixel_range=[-1, 1]"],
        "module.loss",
        "got bce, which takes pixels for probabilities, but datamodule.pixel_range is [-1,1]",
    ),
    "bce_and_standardised_pixels": (
        VAE,
        ["datamodule.pixel_range=standardised"],
        "module.loss",
        "or --set module.loss=gaussian",
    ),
    "more_stages_than_the_image_has_room_for": (
        CAE,
        ["model.channels=[8,8,8,8,8,8]"],
        "model.channels",
        "got 6 stages for 28x28 images, expected 1 to 5",
    ),
    "no_stage": (CLASSIFIER, ["model.channels=[]"], "model.channels", "got 0 stages"),
    "latent_dim_below_one": (CAE, ["model.latent_dim=-4"], "model.latent_dim", "got -4, expected a positive integer"),
    "a_model_that_the_trainer_does_not_accept": (
        CAE,
        ["model={name: vae_baseline}"],
        "model.name",
        "got vae_baseline, but the trainer cae_baseline accepts: cae_baseline, linear_autoencoder, or firebox train ",
    ),
    "a_module_that_the_trainer_does_not_accept": (
        CAE,
        ["module={name: classification}"],
        "module.name",
        "or firebox train classifier_baseline",
    ),
    "a_model_without_what_the_module_calls": (
        VAE,
        ["model={name: 'firebox.models.cae_baseline:CAEBaseline'}"],
        "model.name",
        "got CAEBaseline, which lacks reparameterise; the module variational expects a model with encode",
    ),
    "another_trainers_configuration": (CAE, ["trainer=vae_baseline"], "trainer", "run firebox train vae_baseline"),
    "a_batch_larger_than_the_split": (
        CAE,
        ["datamodule.batch_size=6000"],
        "datamodule.batch_size",
        "got 6000, but the training split of fashion_mini has 5,400 images; expected at most 5400",
    ),
    "a_dropped_batch_larger_than_the_split": (
        CAE,
        ["datamodule.batch_size=6000", "datamodule.drop_last=true"],
        "datamodule.batch_size",
        "expected at most 5400",
    ),
    "a_last_batch_of_one_and_batch_normalisation": (
        CLASSIFIER,
        [NO_DATAMODULE, "datagenerator={name: shapes, train_length: 65, batch_size: 16}"],
        "datagenerator.batch_size",
        "the last batch of the 65 training images is one image, which the batch normalisation",
    ),
    "a_batch_of_one_and_batch_normalisation": (
        CLASSIFIER,
        ["datamodule.batch_size=1"],
        "datamodule.batch_size",
        "got 1, which the batch normalisation stem.1",
    ),
    "parts_of_one_and_batch_normalisation": (
        CLASSIFIER,
        ["datamodule.batch_size=32", "training.accumulation=32"],
        "training.accumulation",
        "got 32, which leaves microbatches of one image",
    ),
    "more_parts_than_images": (
        CAE,
        ["training.accumulation=6000"],
        "training.accumulation",
        "got 6000 microbatches, but datamodule.batch_size is",
    ),
    "labels_that_the_data_lacks": (
        CLASSIFIER,
        ["datamodule={name: image_folder, root: UNLABELLED, image_size: [16, 16], batch_size: 2}"],
        "module",
        "needs data whose samples have a class, got none; choose another data set or module",
    ),
    "an_augmentation_that_changes_the_shape": (
        CLASSIFIER,
        ["datamodule.augmentations=[random_crop: {size: [20, 20]}]"],
        "datamodule.augmentations.0",
        "makes images of shape (1, 20, 20) from (1, 28, 28), expected the shape to stay",
    ),
    "an_augmentation_of_colours_and_grey_images": (
        CLASSIFIER,
        ["datamodule.augmentations=[{random_hue: {hue: [0.1, 0.2]}}]"],
        "datamodule.augmentations.0",
        "(*, 3, H, W)",
    ),
    "an_unknown_augmentation": (
        CLASSIFIER,
        ["datamodule.augmentations=[random_horizontl_flip]"],
        "datamodule.augmentations.0",
        'did you mean "random_horizontal_flip"?',
    ),
    "an_augmentation_that_is_no_name": (
        CLASSIFIER,
        ["datamodule.augmentations=[3]"],
        "datamodule.augmentations.0",
        "got 3, expected a name, or a name with a map of parameters",
    ),
    "augmented_evaluation": (
        CLASSIFIER,
        ["datamodule.evaluation_augmentations=[random_hue]"],
        "datamodule.evaluation_augmentations",
        "unknown key",
    ),
    "a_schedules_warmup_longer_than_the_run": (
        CAE,
        ["training.epochs=2", "scheduler={name: cosine, warmup: 3 epochs}"],
        "scheduler.warmup",
        "got 3 epochs, but the whole run has",
    ),
    "a_schedule_longer_than_the_run": (
        CAE,
        ["training.epochs=5", "scheduler={name: piecewise_linear, milestones: [[0, 0.1], [9, 0.01]]}"],
        "scheduler.milestones",
        "the last one is at epoch 9, but training.epochs is 5",
    ),
    "a_warmup_longer_than_the_run": (
        VAE,
        ["module.warmup_iterations=100000"],
        "module.warmup_iterations",
        "got 100000, but the whole run has",
    ),
    "early_stopping_within_the_warmup": (
        VAE,
        ["module.warmup_iterations=100", "datamodule.batch_size=128", "handlers.early_stopping.patience=2"],
        "handlers.early_stopping.patience",
        "got 2 evaluations, 86 iterations, but module.warmup_iterations is 100",
    ),
    "more_iterations_than_can_be_counted": (CAE, [f"training.epochs={10**17}"], "training.epochs", "expected at most"),
    "a_metric_that_nothing_produces": (
        CAE,
        ["handlers.checkpoint.monitor=validation/psnrr"],
        "handlers.checkpoint.monitor",
        "did you mean validation/psnr? expected one of: validation/loss, validation/psnr, validation/ssim",
    ),
    "a_metric_of_the_training_split": (
        CAE,
        ["handlers.early_stopping.monitor=train/loss"],
        "handlers.early_stopping.monitor",
        "the training split is not evaluated",
    ),
    "a_metric_of_the_test_split": (
        CAE,
        ["handlers.early_stopping.monitor=test/loss"],
        "handlers.early_stopping.monitor",
        "evaluated at the end only",
    ),
    "a_metric_of_no_split": (
        CAE,
        ["handlers.early_stopping.monitor=loss"],
        "handlers.early_stopping.monitor",
        "its name has no split",
    ),
    "a_metric_without_a_validation_split": (
        CAE,
        ["datamodule.validation_fraction=0", "scheduler={name: reduce_on_plateau}"],
        "scheduler.monitor",
        "fashion_mini has no validation split; expected datamodule.validation_fraction above 0",
    ),
    "a_metric_without_an_evaluation": (
        CAE,
        ["handlers.evaluation=false", "scheduler={name: reduce_on_plateau}"],
        "scheduler.monitor",
        "evaluation is left out",
    ),
    "an_unknown_mode": (
        CAE,
        ["handlers.checkpoint.mode=best"],
        "handlers.checkpoint.mode",
        'got "best", expected one of min or max',
    ),
    "the_worst_for_the_best": (
        CAE,
        ["handlers.checkpoint.monitor=validation/psnr"],
        "handlers.checkpoint.mode",
        "got min, but more of validation/psnr is better; expected max: --set handlers.checkpoint.mode=max",
    ),
    "a_frequency_of_zero": (
        CAE,
        ["handlers.image_dump.every=0 epochs"],
        "handlers.image_dump.every",
        "such as 1 epoch or 100 iterations",
    ),
    "a_frequency_longer_than_the_run": (
        CAE,
        ["training.epochs=2", "handlers.image_dump.every=3 epochs"],
        "handlers.image_dump.every",
        "it would never act; expected at most 2 epochs",
    ),
    "a_decay_of_one": (
        CAE,
        ["handlers.ema.decay=1.0"],
        "handlers.ema.decay",
        "got 1.0, expected a number less than 1.0",
    ),
    "a_decay_of_zero": (CAE, ["handlers.ema.decay=0.0"], "handlers.ema.decay", "got 0.0, expected a positive number"),
    "two_writers_of_one_file": (
        CAE,
        ["handlers=['firebox.handlers.loss_log:LossLog']"],
        "handlers.firebox.handlers.loss_log:LossLog",
        "writes losses.jsonl, which loss_log writes, too; expected one of them: --set handlers.loss_log=false",
    ),
    "a_precision_that_the_device_is_bad_at": (
        CAE,
        ["training.device=cpu", "training.precision=float16"],
        "training.precision",
        "expected bfloat16 or float32",
    ),
    "an_unknown_precision": (CAE, ["training.precision=float63"], "training.precision", "did you mean float32?"),
    "a_device_that_is_absent": (
        CAE,
        ["training.device=cuda:99"],
        "training.device",
        "got cuda:99, expected one that is here: cpu",
    ),
    "an_unknown_device": (
        CAE,
        ["training.device=tpu"],
        "training.device",
        'got "tpu", expected auto, cpu, cuda, cuda:N or mps',
    ),
    "negative_workers": (
        CAE,
        ["datamodule.workers=-1"],
        "datamodule.workers",
        "got -1, expected a non-negative integer",
    ),
    "shards_that_are_no_power_of_two": (
        CAE,
        ["training.shards=3"],
        "training.shards",
        "got 3, expected a power of two, such as 2 or 4: --set training.shards=2",
    ),
    "microbatches_beside_shards": (
        CAE,
        ["training.shards=2", "training.accumulation=2"],
        "training.accumulation",
        "got 2 beside 2 shards, each of which already takes the memory of its own images alone",
    ),
    "fewer_images_than_shards": (
        CAE,
        ["training.shards=8", "datamodule.batch_size=4"],
        "training.shards",
        "got 8, but a batch is 4 images; expected shards of at least one image: --set training.shards=4",
    ),
    "fewer_images_than_shards_in_the_last_batch": (
        CAE,
        ["training.shards=8", "datamodule.limit=70"],
        "training.shards",
        "the last batch of the 70 training images is 6 images; expected shards of at least one image: --set "
        "datamodule.drop_last=true, or --set training.shards=4",
    ),
    "a_shard_of_one_image_and_batch_normalisation": (
        CLASSIFIER,
        ["training.shards=16", "datamodule.batch_size=16"],
        "training.shards",
        "expected shards of at least two images, which batch normalisation needs",
    ),
    "compiled_weights_that_are_spread": (
        CAE,
        ["training.parallel=fsdp", "training.channels_last=false", "training.compile=true"],
        "training.compile",
        "got true beside training.parallel fsdp; expected one of them: --set training.compile=false",
    ),
    "spread_weights_of_convolutions": (
        CAE,
        ["training.parallel=fsdp"],
        "training.channels_last",
        "got true, but training.parallel fsdp keeps the weights of convolutions contiguous; expected false: --set "
        "training.channels_last=false",
    ),
    "averaged_weights_that_are_spread": (
        CAE,
        ["training.parallel=fsdp", "training.channels_last=false", "handlers.ema.decay=0.9"],
        "handlers.ema",
        "averages the weights, of which training.parallel fsdp leaves a part to each process; expected --set "
        "handlers.ema=false, or --set training.parallel=replicated",
    ),
    "a_module_that_calls_parts_of_spread_weights": (
        VAE,
        ["training.parallel=fsdp", "training.channels_last=false"],
        "module.name",
        "calls a part of the model, encoder",
    ),
    "too_many_workers": (CAE, ["datamodule.workers=100000"], "datamodule.workers", "got 100000 processes for"),
    "a_datagenerator_without_a_length": (
        CAE,
        [NO_DATAMODULE, "datagenerator={name: shapes, train_length: 0}"],
        "datagenerator.train_length",
        "expected a positive integer",
    ),
    "both_kinds_of_data": (
        CAE,
        ["datagenerator={name: shapes}"],
        "datagenerator",
        "given beside datamodule; expected one of the two",
    ),
    "data_that_is_not_there": (
        CAE,
        ["datamodule={name: mnist, root: /nowhere}"],
        "datamodule.name",
        "4 of 4 files are missing in /nowhere",
    ),
    "a_folder_that_is_not_there": (
        CAE,
        ["datamodule={name: image_folder, root: /nowhere}"],
        "datamodule.name",
        "there is no folder /nowhere",
    ),
    "an_optimizer_parameter_of_the_wrong_type": (
        CAE,
        ["optimizer.lr=fast"],
        "optimizer.lr",
        'got "fast", expected a number',
    ),
    "an_optimizer_parameter_out_of_range": (
        CAE,
        ["optimizer.betas=[0.9, 1.5]"],
        "optimizer.betas.1",
        "got 1.5, expected a number less than",
    ),
    "optimizer_parameters_that_contradict": (
        CAE,
        ["optimizer={name: sgd, nesterov: true}"],
        "optimizer",
        "Nesterov momentum requires",
    ),
    "a_handler_parameter_of_the_wrong_type": (
        CAE,
        ["handlers.checkpoint.keep_last=many"],
        "handlers.checkpoint.keep_last",
        'got "many", expected an integer',
    ),
    "a_number_that_float32_lacks": (CAE, ["optimizer.lr=1e300"], "optimizer.lr", "as float32 has them"),
    "a_run_larger_than_the_memory": (
        CAE,
        ["model.latent_dim=100000000"],
        "model.name",
        "are free; expected a smaller model",
    ),
    "a_batch_larger_than_the_memory": (
        CAE,
        [
            NO_DATAMODULE,
            "datagenerator={name: shapes, image_size: [1024, 1024], batch_size: 1024}",
            "model.channels=[4096]",
            "model.latent_dim=1",
        ],
        "datagenerator.batch_size",
        "expected a smaller batch or more training.accumulation",
    ),
    "checkpoints_larger_than_the_disk": (
        CAE,
        ["handlers.checkpoint.keep_last=100000000"],
        "output.root",
        "expected another folder, or a smaller keep_last",
    ),
    "an_unknown_key": (
        CAE,
        ["model.latnt_dim=3"],
        "model.latnt_dim",
        "unknown key; did you mean latent_dim? expected one of: channels",
    ),
    "an_unknown_section": (
        CAE,
        ["modell.name=x"],
        "modell",
        "unknown key; did you mean model? expected one of: datagenerator",
    ),
    "an_unknown_name": (
        CAE,
        ["model.name=cae_baselin"],
        "model.name",
        'unknown model "cae_baselin"; did you mean cae_baseline?',
    ),
    "a_file_that_is_not_there": (CAE, ["model={name: 'absent.py:Model'}"], "model.name", "no such file:"),
    "a_module_that_is_not_there": (
        CAE,
        ["model={name: 'absent.module:Model'}"],
        "model.name",
        "no such module: absent.module",
    ),
    "a_class_that_is_not_there": (
        CAE,
        ["model={name: 'firebox.models.cae_baseline:Modle'}"],
        "model.name",
        "has no Modle",
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, but for a folder of images without labels."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "UNLABELLED").mkdir()
    for number in range(8):
        Image.new("L", (16, 16), number).save(tmp_path / "UNLABELLED" / f"{number}.png")
    return tmp_path


def found(name, assignments):
    """Returns the problems that a trainer's default configuration has with assignments on top."""
    trainer = trainers()[name]
    try:
        preflight(read(trainer.name, trainer.default, None, assignments), trainer)
    except Refusal as refusal:
        return refusal.problems
    return ()


def is_way_out(problem, name, assignments):
    """Whether a problem is gone, and what was typed is understood, with a trainer and assignments."""
    left = found(name, assignments)
    unread = ("unknown key", "not valid YAML", "expected KEY=VALUE", "unknown handler")
    return all(
        (other.key, other.message) != (problem.key, problem.message) and not any(t in other.message for t in unread)
        for other in left
    )


@pytest.mark.parametrize(("trainer", "assignments", "key", "text"), CASES.values(), ids=CASES)
def test_it_is_refused(here, trainer, assignments, key, text):
    problems = found(trainer, assignments)
    by_key = {problem.key: problem for problem in problems}
    assert key in by_key, "\n".join(map(str, problems))
    assert text in by_key[key].message
    assert by_key[key].mark is not None, "the place of the value, or of the section that its default stands in"
    for problem in problems:
        for setting in ways_out.settings(problem.message):
            assert is_way_out(problem, trainer, [*assignments, setting]), f"{problem}: {setting}"
        for other in ways_out.trainers_named(problem.message):
            assert is_way_out(problem, other, assignments), f"{problem}: {other}"
    assert sorted(path.name for path in here.iterdir()) == ["UNLABELLED"]


@pytest.mark.usefixtures("here")
def test_a_way_out_that_does_not_help_or_is_not_understood_is_noticed():
    wrong = ["datamodule={name: mnist, root: /nowhere}"]
    (problem,) = found(CAE, wrong)
    assert not is_way_out(problem, CAE, [*wrong, "datamodule.name=fashion_mini"]), "it has no root"
    assert not is_way_out(problem, CAE, [*wrong, "seed=3"])
    assert not is_way_out(problem, CAE, [*wrong, "datamodule={name: fashion_mini"])
    assert is_way_out(problem, CAE, [*wrong, "datamodule={name: fashion_mini}"])


def test_ways_out_are_read_from_messages_as_a_shell_reads_them():
    message = """expected --set a.b="[0,1]", or --set 'c={d: e, f: "g h"}'. Or --resume '/a b/c'; run firebox train x"""
    assert ways_out.settings(message) == ["a.b=[0,1]", 'c={d: e, f: "g h"}']
    assert ways_out.options(message)[2] == ("--resume", "/a b/c")
    assert ways_out.trainers_named(message) == ["x"]


@pytest.mark.parametrize(
    ("trainer", "assignments"),
    [
        (CAE, []),
        (VAE, []),
        (CLASSIFIER, []),
        (UNET, []),
        (DIFFUSION, []),
        (
            DIFFUSION,
            ["module={name: ddpm, prediction: v, zero_terminal_snr: true}", "datamodule.pixel_range=standardised"],
        ),
        (DIFFUSION, ["module={name: ddpm, schedule: linear}", "training.accumulation=2", "model.channels=[6]"]),
        (
            UNET,
            ["module={name: segmentation, loss: both, class_weights: [0.5, 1, 1, 1]}"],
        ),
        (UNET, ["datagenerator.image_size=[31, 45]", "datagenerator.color=rgb", "training.precision=bfloat16"]),
        (CAE, [NO_DATAMODULE, "datagenerator={name: shapes, target: mask}"]),
        (CAE, ["module.loss=bce", "model.output_activation=linear"]),
        (CAE, ["model.output_activation=tanh", "datamodule.pixel_range=[-1, 1]"]),
        (CAE, ["model.output_activation=linear", "datamodule.pixel_range=standardised"]),
        (CAE, ["datamodule.batch_size=5400", "datamodule.drop_last=true"]),
        (
            CLASSIFIER,
            [NO_DATAMODULE, "datagenerator={name: shapes, train_length: 65, batch_size: 16, drop_last: true}"],
        ),
        (CAE, ["training.epochs=2", "handlers.image_dump.every=2 epochs"]),
        (CAE, ["training.epochs=1", "datamodule.batch_size=5000"]),
        (CAE, ["handlers.checkpoint={monitor: validation/psnr, mode: max}", "handlers.ema={}"]),
        (CAE, ["training.precision=bfloat16", "training.accumulation=3", "training.gradient_clip_norm=1.0"]),
        (CLASSIFIER, ["datamodule.augmentations=[random_horizontal_flip, {random_affine: {degrees: 10}}]"]),
        (CLASSIFIER, ["datamodule.augmentations=[{random_gaussian_noise: {std: 0.1}}]"]),
        (DENOISING, ["datamodule.pixel_range=[-1, 1]", "module={name: denoising, sigma: 0.6, clip: true}"]),
        (DENOISING, ["model={name: cae_baseline}", "handlers.ema={}", "training.accumulation=2"]),
        (VQVAE, ["handlers.ema={}", "training.precision=bfloat16"]),
        (VQVAE, ["datamodule.batch_size=6"]),
        (VQVAE, [f"model={{name: '{QUANTISED}:Whole', num_embeddings: 64}}"]),
    ],
)
def test_what_works_is_accepted(here, trainer, assignments):
    declaration = trainers()[trainer]
    report = preflight(read(declaration.name, declaration.default, None, assignments), declaration)
    assert {result for result, _ in report.results.values()} == {"passed"}
    assert sorted(path.name for path in here.iterdir()) == ["UNLABELLED"]


def test_a_residual_is_refused_where_input_and_target_have_other_ranges(here):
    make(here / "datasets" / "fashion_mini_pairs")
    standardised = ["datamodule.pixel_range=standardised"]
    (problem,) = found(RESTORATION, standardised)
    assert problem.key == "model.residual"
    assert "adds the input, in standardised, to what is compared with target images in [0,1]" in problem.message
    for setting in ways_out.settings(problem.message):
        assert is_way_out(problem, RESTORATION, [*standardised, setting])
    declaration = trainers()[RESTORATION]
    preflight(read(declaration.name, declaration.default, None, ['datamodule.pixel_range="[-1,1]"']), declaration)


@pytest.mark.usefixtures("here")
def test_a_latent_larger_than_the_image_is_warned_of(caplog):
    trainer = trainers()[CAE]
    preflight(read(trainer.name, trainer.default, None, ["model.latent_dim=785"]), trainer)
    assert "model.latent_dim: 785 is larger than an image's 784 values" in caplog.text


@pytest.mark.usefixtures("here")
def test_a_default_best_checkpoint_without_validation_is_warned_of(caplog):
    trainer = trainers()[CAE]
    preflight(read(trainer.name, trainer.default, None, ["datamodule.validation_fraction=0"]), trainer)
    assert "handlers.checkpoint: no best checkpoint will be kept: fashion_mini has no validation split" in caplog.text
