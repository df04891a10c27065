"""What a person may choose about the evaluation of images, with defaults and meanings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluateImageOptions(BaseModel):
    """How much is sampled, and the classifier that judges it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(
        default=2000,
        ge=50,
        description="Images to generate and judge; at most as many as are held out.",
    )
    neighbours: int = Field(
        default=5,
        ge=1,
        description="Precision and recall: the neighbour whose distance is an image's reach.",
    )
    classifier_rows: int = Field(
        default=30_000, ge=100, description="Training images that the classifier learns from."
    )
    classifier_epochs: int = Field(
        default=3, ge=1, description="Passes over them; the classifier's accuracy is reported."
    )
    resamples: int = Field(
        default=60, ge=20, description="Half samples behind each interval of a distance."
    )
    inception_weights: str = Field(
        default="",
        description="File of the weights of Keras' InceptionV3 without its top; distances are then "
        "measured in its features as well, which takes a sixth of a second an image on a CPU. "
        "Empty: not measured.",
    )
    serving_versions: list[str] = Field(
        default=[],
        description="TensorFlow versions that the export must answer equally under, as texts: "
        '["2.19", "2.20"]; each gets an environment of 1.5 GB on first use.',
    )
    seed: int = Field(default=0, ge=0, description="Seed of samples, classifier and resamples.")
