"""What moves the decoder's weights: the schedule and the optimizers, the same under any backend."""

from __future__ import annotations

from typing import Any, Literal

import keras

from components.train.decoder import Decoder
from components.train.options import TrainOptions

FINAL_RATE_SHARE = 0.1
ADAM_BETA_2, ADAM_EPSILON = 0.95, 1e-8

Name = Literal["muon", "adamw"]


def make_schedule(options: TrainOptions) -> Any:
    """A linear rise to the peak rate, and half a cosine down to a tenth of it."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if options.warmup_steps else options.peak_rate,
        decay_steps=max(1, options.steps - options.warmup_steps),
        alpha=FINAL_RATE_SHARE,
        warmup_target=options.peak_rate if options.warmup_steps else None,
        warmup_steps=options.warmup_steps,
    )


def make_optimizer(name: Name, model: Decoder, schedule: Any, options: TrainOptions) -> Any:
    """Keras' optimizer with its variables made, those of `model.trainable_variables`."""
    make = _muon if name == "muon" else _adamw
    optimizer = make(model, schedule, options)
    if model.dtype_policy.compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def penalized(variable: Any) -> bool:
    """Whether the L1 penalty is on this variable: on the blocks' matrices alone."""
    return len(variable.shape) >= 2 and "embedding" not in variable.name


def _adamw(model: Decoder, schedule: Any, options: TrainOptions) -> Any:
    adam = keras.optimizers.AdamW(
        learning_rate=schedule,
        weight_decay=options.weight_decay,
        beta_2=ADAM_BETA_2,
        epsilon=ADAM_EPSILON,
        global_clipnorm=options.clip_norm,
    )
    # Decay shrinks matrices that multiply; shrinking scales or embeddings only hurts.
    kept = [v for v in model.trainable_variables if "norm" in v.name]
    kept += [model.token_embedding, model.position_embedding]
    adam.exclude_from_weight_decay(var_list=kept)
    return adam


def _muon(model: Decoder, schedule: Any, options: TrainOptions) -> Any:
    """Muon for the blocks' matrices; Keras gives embeddings and scales to Adam, undecayed here.

    Its updates are scaled so that learning rate and decay mean what they mean for AdamW.
    """
    return keras.optimizers.Muon(
        learning_rate=schedule,
        weight_decay=options.weight_decay,
        adam_weight_decay=0.0,
        adam_beta_2=ADAM_BETA_2,
        epsilon=ADAM_EPSILON,
        global_clipnorm=options.clip_norm,
    )
