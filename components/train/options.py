"""What a person may choose about training, with defaults and meanings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainOptions(BaseModel):
    """The decoder-only Transformer and how it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(default=4, ge=1, description="Transformer blocks.")
    width: int = Field(default=128, ge=8, description="Width of the residual stream.")
    heads: int = Field(default=4, ge=1, description="Attention heads; they divide the width.")
    context: int = Field(default=128, ge=8, description="Longest sequence, in tokens.")
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of activations dropped in training."
    )
    batch_size: int = Field(
        default=8,
        ge=1,
        description="Sequences per training step, of all replicas together; each gets an equal "
        "share.",
    )
    steps: int = Field(default=700, ge=1, description="Training steps at most.")
    learning_rate: float = Field(
        default=6e-3,
        ge=0,
        description="Peak learning rate, after the warmup; 0 finds one by a range test first.",
    )
    scale_learning_rate: Literal["none", "linear", "sqrt"] = Field(
        default="none",
        description="How the learning rate grows with batch_size / rate_batch_size: not at all, "
        "in proportion, or with the square root.",
    )
    rate_batch_size: int = Field(
        default=8, ge=1, description="Batch size that learning_rate was chosen for."
    )
    warmup_steps: int = Field(
        default=30, ge=0, description="Steps over which the learning rate rises linearly from 0."
    )
    weight_decay: float = Field(
        default=0.1, ge=0, description="Decoupled decay of the blocks' weight matrices."
    )
    l1: float = Field(default=0.0, ge=0, description="L1 penalty on the blocks' weight matrices.")
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay of the running average of the weights that is evaluated and exported, "
        "warmed up from 0.1; 0 exports the last weights.",
    )
    clip_norm: float = Field(
        default=1.0, gt=0, description="Global gradient norm above which gradients are scaled down."
    )
    eval_every: int = Field(
        default=100, ge=1, description="Steps between evaluations on the held-out split."
    )
    patience: int = Field(
        default=5,
        ge=1,
        description="Evaluations without a better loss after which training stops early.",
    )
    preview_every: int = Field(
        default=350, ge=0, description="Steps between previews of samples in the logs; 0 for none."
    )
    checkpoint_seconds: int = Field(
        default=30, ge=1, description="Seconds between checkpoints that a killed run resumes from."
    )
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="auto",
        description="Number format: auto takes mixed_bfloat16 on accelerators that have it and "
        "float32 elsewhere.",
    )
    distribution: Literal["single", "mirrored", "multi_worker", "tpu", "model_parallel"] = Field(
        default="single",
        description="Who shares the work: one device, all GPUs of the machine, the workers that "
        "TF_CONFIG lists, the cores of a TPU, or all devices of the machine under JAX, each with "
        "a part of the model (needs jax).",
    )
    model_parallel: int = Field(
        default=0,
        ge=0,
        description="Devices that hold one copy of the model together, each a part of it, with "
        "distribution=model_parallel; further devices hold further copies and share the batch. "
        "0 for all devices.",
    )
    worker_timeout: int = Field(
        default=600,
        ge=1,
        description="Seconds without progress after which a worker of many takes another one for "
        "lost, and ends.",
    )
    xla: bool = Field(default=True, description="Compile the training step with XLA.")
    export_xla: bool = Field(
        default=False,
        description="Also export an XLA-compiled model, for servers that enable XLA.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of initial weights, order and dropout.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide width: received heads={self.heads}, width={self.width}"
            )
        return self

    @model_validator(mode="after")
    def _a_device_has_whole_heads(self) -> Self:
        parts = self.model_parallel
        if parts and self.distribution != "model_parallel":
            raise ValueError(
                f"model_parallel needs distribution=model_parallel: received model_parallel={parts}"
                f", distribution={self.distribution}"
            )
        if parts and self.heads % parts:
            raise ValueError(
                "model_parallel must divide heads, so that each device has whole ones: received "
                f"heads={self.heads}, model_parallel={parts}"
            )
        return self

    @model_validator(mode="after")
    def _a_found_rate_is_not_scaled(self) -> Self:
        if not self.learning_rate and self.scale_learning_rate != "none":
            raise ValueError(
                "scale_learning_rate must be none where learning_rate=0 finds the rate of this "
                f"very batch size: received scale_learning_rate={self.scale_learning_rate}"
            )
        return self

    @model_validator(mode="after")
    def _a_rate_is_found_alone(self) -> Self:
        if not self.learning_rate and self.distribution != "single":
            raise ValueError(
                "learning_rate=0 finds a rate on a single device only: received distribution="
                f"{self.distribution}. Find the rate with distribution=single first"
            )
        return self

    @property
    def peak_rate(self) -> float:
        """The learning rate, scaled to the batch: in proportion as in Goyal et al. (2017).

        It depends on the global batch alone, so that the number of replicas changes no result.
        """
        growth = self.batch_size / self.rate_batch_size
        exponent = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[self.scale_learning_rate]
        return float(self.learning_rate * growth**exponent)
