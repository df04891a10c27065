"""What a person may choose about training a family of images or tables."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FamilyTrainOptions(BaseModel):
    """The family of the model and how it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = Field(
        default="vae",
        description="Kind of model: vae, gan, diffusion or rbm for images; vae, gan or transformer "
        "for tables.",
    )
    family_options: dict[str, Any] = Field(
        default_factory=dict,
        description="The family's own options, such as widths; see the Options of its file.",
    )
    steps: int = Field(default=1500, ge=1, description="Training steps at most.")
    batch_size: int = Field(default=64, ge=1, description="Examples in each update.")
    learning_rate: float = Field(
        default=1e-3,
        ge=0,
        description="Peak learning rate, after the warmup; 0 finds one by a range test first. Each "
        "family multiplies it by what suits its kind, 1 to 20.",
    )
    warmup_steps: int = Field(
        default=50, ge=0, description="Steps over which the learning rate rises linearly from 0."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled (AdamW) L2 decay of the weight matrices."
    )
    l1: float = Field(default=0.0, ge=0, description="L1 penalty on the weight matrices.")
    l2: float = Field(
        default=0.0, ge=0, description="L2 penalty on the weight matrices, as a part of the loss."
    )
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of activations dropped in training."
    )
    clip_norm: float = Field(
        default=1.0, gt=0, description="Global gradient norm above which gradients are scaled down."
    )
    ema: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the running average of the weights that is evaluated and exported, "
        "warmed up from 0.1; 0 exports the last weights.",
    )
    eval_every: int = Field(
        default=250, ge=1, description="Steps between evaluations on the held-out split."
    )
    patience: int = Field(
        default=5,
        ge=1,
        description="Evaluations without a better loss after which training stops early, in "
        "families whose loss tells better models from worse.",
    )
    preview_every: int = Field(
        default=500, ge=0, description="Steps between previews of samples in the logs; 0 for none."
    )
    checkpoint_seconds: int = Field(
        default=30, ge=1, description="Seconds between checkpoints that a killed run resumes from."
    )
    cpu_seconds: float = Field(
        default=0.0,
        ge=0,
        description="CPU seconds, of all cores together, after which training ends; the learning "
        "rate then falls with them. 0 for no limit.",
    )
    start_from: str = Field(
        default="",
        description="Checkpoint to start from, such as the one that a run which diverged kept.",
    )
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="auto",
        description="Number format: auto takes mixed_bfloat16 on accelerators that have it and "
        "float32 elsewhere.",
    )
    xla: bool = Field(default=False, description="Compile the training step with XLA.")
    seed: int = Field(default=0, ge=0, description="Seed of initial weights, order and noise.")

    @model_validator(mode="before")
    @classmethod
    def _one_process_trains(cls, values: Any) -> Any:
        """Says more than that the key is unknown: for text it is not."""
        if isinstance(values, dict) and "distribution" in values:
            raise ValueError(
                "distribution is for text: images and tables are trained by one process on one "
                f"device. Received: {values['distribution']!r}. Leave it out"
            )
        return values
