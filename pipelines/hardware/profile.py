"""Reads a profile of hardware: one YAML file, checked by name, that says where steps run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from components.errors import ConfigError
from components.image import IMAGE
from components.options import explain
from components.workers.options import WorkersJob

PROFILES = Path(__file__).parent
# As Kubernetes writes them; what it would refuse when a pod starts is refused here.
Quantity = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?(m|[kMGTP]i?|Ki)?)$")]
OptionalQuantity = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?([kMGTP]i?|Ki)?)?$")]
STEPS = ("ingest", "validate", "transform", "train", "evaluate", "drift", "gate", "push")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accelerator(_Strict):
    """What a node plugs in, by the name of its Kubernetes resource."""

    type: str = Field(description="Resource, such as nvidia.com/gpu or google.com/tpu.")
    count: int = Field(ge=1, description="How many each of the steps gets.")


class Toleration(_Strict):
    """Lets a pod onto nodes that keep others away."""

    key: str = Field(default="", description="Taint; empty for every taint.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="How value is held.")
    value: str = Field(default="", description="The taint's value, where the operator is Equal.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="", description="Effect of the taint; empty for every effect."
    )


class Spot(_Strict):
    """Cheap nodes that may be taken away."""

    enabled: bool = Field(default=False, description="Run the model's steps on such nodes.")
    node_selector: dict[str, str] = Field(default={}, description="Labels of such nodes.")
    tolerations: list[Toleration] = Field(default=[], description="Taints of such nodes.")


class Retries(_Strict):
    """How often a step is run again whose pod failed."""

    count: int = Field(default=2, ge=0, le=10, description="Attempts after the first.")
    backoff_seconds: int = Field(default=60, ge=0, description="Wait before the first of them.")
    # Kubeflow takes a fraction, and Argo, which it hands it to, does not.
    factor: int = Field(default=2, ge=1, description="By which each wait is longer.")


class Timeouts(_Strict):
    """After how many minutes a pod is ended."""

    train: int = Field(default=24 * 60, ge=1, description="Of training.")
    others: int = Field(default=4 * 60, ge=1, description="Of every other step.")


class Volume(_Strict):
    """A persistent volume for what outlives a run: models, checkpoints, records."""

    claim: str = Field(default="loomline", min_length=1, description="Name of the claim.")
    mount: str = Field(default="/loomline", pattern="^/.*[^/]$", description="Where steps see it.")


class Hardware(_Strict):
    """One profile."""

    image: str = Field(default=IMAGE, min_length=1, description="Image of every step.")
    model_steps: list[Literal[STEPS]] = Field(  # type: ignore[valid-type]
        default=["train", "evaluate"],
        description="Steps that compute with the model: they get the accelerator and its nodes.",
    )
    accelerator: Accelerator | None = Field(default=None, description="What they compute on.")
    node_selector: dict[str, str] = Field(default={}, description="Labels of the nodes for them.")
    tolerations: list[Toleration] = Field(default=[], description="Taints of those nodes.")
    spot: Spot = Spot()
    cpu: Quantity = Field(default="4", description="CPU cores of each of them.")
    memory: Quantity = Field(default="8Gi", description="Memory of each of them.")
    data_cpu: Quantity = Field(default="2", description="CPU cores of each other step.")
    data_memory: Quantity = Field(default="8Gi", description="Memory of each other step.")
    shared_memory: OptionalQuantity = Field(
        default="", description="Size of /dev/shm of the model's steps; empty for the node's own."
    )
    scratch: OptionalQuantity = Field(
        default="", description="Size of /tmp of every step; empty for the image's own."
    )
    retries: Retries = Retries()
    timeout_minutes: Timeouts = Timeouts()
    volume: Volume | None = Field(default=Volume(), description="None: nothing outlives a run.")
    workers: WorkersJob | None = Field(
        default=None,
        description="None: the train step trains by itself. Otherwise it has these train, each of "
        "which gets what it would get, and gets itself what every other step gets.",
    )
    secret: str = Field(
        default="loomline",
        min_length=1,
        description="Secret with webhook_url and smtp_url, told of runs that need a person, and "
        "with aws_access_key_id and aws_secret_access_key; all of it may be missing.",
    )
    config_map: str = Field(
        default="loomline",
        min_length=1,
        description="ConfigMap with https_proxy, no_proxy, aws_endpoint_url and "
        "aws_default_region for every step; all of it may be missing.",
    )

    @pydantic.model_validator(mode="after")
    def _an_accelerator_has_a_step(self) -> Self:
        if self.accelerator and not self.model_steps:
            raise ValueError("expected model_steps for the accelerator. Received: none")
        return self

    @pydantic.model_validator(mode="after")
    def _workers_share_a_volume(self) -> Self:
        if self.workers and not self.volume:
            raise ValueError(
                "expected volume beside workers, which share data and checkpoints on it. Received: "
                "volume: null"
            )
        return self

    @property
    def replicas(self) -> int:
        """Devices that share a training step at least."""
        each = self.accelerator.count if self.accelerator else 1
        return each * (self.workers.count if self.workers else 1)

    @property
    def all_node_selector(self) -> dict[str, str]:
        """Labels of the nodes, spot or not."""
        return {**self.node_selector, **(self.spot.node_selector if self.spot.enabled else {})}

    @property
    def all_tolerations(self) -> list[dict[str, str]]:
        """Taints of the nodes, spot or not, as Kubernetes writes them."""
        tolerated = [*self.tolerations, *(self.spot.tolerations if self.spot.enabled else [])]
        return [
            {name: value for name, value in one.model_dump().items() if value} for one in tolerated
        ]


def available_hardware() -> list[str]:
    """Names of the profiles that ship with Loomline."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_hardware(name: str, spot: bool = False, image: str = "", mount: str = "") -> Hardware:
    """Reads a profile.

    Args:
        name: a shipped profile's name, such as 'gpu', or the path of a YAML file.
        spot: have the model's steps run on nodes that may be taken away.
        image: image of every step; empty for the profile's.
        mount: where the steps see the volume; empty for the profile's.

    Raises:
        ConfigError: there is no such profile, a key is unknown, or a value does not fit, also to
            what the profile says itself.
    """
    path = PROFILES / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise ConfigError(
            f"no hardware {name!r}: expected the path of a YAML file or one of "
            f"{', '.join(available_hardware())}"
        )
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        profile = Hardware.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{name}: expected a YAML file in UTF-8. Received: {' '.join(str(error).split())}"
        ) from None
    except pydantic.ValidationError as error:
        raise ConfigError(f"{name}: {'; '.join(_lines(error))}") from None
    if spot:
        if not profile.spot.node_selector and not profile.spot.tolerations:
            raise ConfigError(f"{name}: --spot expects spot.node_selector there. Received: none")
        profile = profile.model_copy(
            update={"spot": profile.spot.model_copy(update={"enabled": True})}
        )
    if image:
        profile = profile.model_copy(update={"image": image})
    return _mounted(name, profile, mount.rstrip("/")) if mount else profile


def _mounted(name: str, profile: Hardware, mount: str) -> Hardware:
    """A profile whose steps see the volume there, where it says nothing else."""
    if profile.volume is None:
        raise ConfigError(
            f"{name}: expected a profile with a volume, because --volume (LOOMLINE_VOLUME) is "
            f"{mount}. Received: volume: null"
        )
    if "mount" in profile.volume.model_fields_set and profile.volume.mount != mount:
        raise ConfigError(
            f"{name}: expected volume.mount and --volume (LOOMLINE_VOLUME) to be one folder. "
            f"Received: {profile.volume.mount} and {mount}"
        )
    try:
        volume = Volume(claim=profile.volume.claim, mount=mount)
    except pydantic.ValidationError:
        raise ConfigError(
            f"--volume (LOOMLINE_VOLUME) expects an absolute path. Received: {mount}"
        ) from None
    return profile.model_copy(update={"volume": volume})


def _lines(error: pydantic.ValidationError) -> list[str]:
    unknown = [problem for problem in error.errors() if problem["type"] == "extra_forbidden"]
    if not unknown:
        return explain(error)
    lines = []
    for problem in unknown:
        *parents, key = map(str, problem["loc"])
        accepted = _accepted(parents)
        where = "".join(f"{part}." for part in parents)
        lines.append(f"unknown key {where}{key}. Accepted: {', '.join(accepted)}")
    return lines


def _accepted(parents: list[str]) -> list[str]:
    """Keys of the part of a profile that lies at such a path."""
    inner: dict[str, type[BaseModel]] = {
        "accelerator": Accelerator,
        "tolerations": Toleration,
        "spot": Spot,
        "retries": Retries,
        "timeout_minutes": Timeouts,
        "volume": Volume,
        "workers": WorkersJob,
    }
    named = [inner[part] for part in parents if part in inner]
    return list((named[-1] if named else Hardware).model_fields)
