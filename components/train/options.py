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
    batch_size: int = Field(default=8, ge=1, description="Sequences per training step.")
    steps: int = Field(default=700, ge=1, description="Training steps at most.")
    learning_rate: float = Field(
        default=6e-3,
        ge=0,
        description="Peak learning rate, after the warmup; 0 finds one by a range test first.",
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
