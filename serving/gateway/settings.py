"""Every setting of the gateway: its default, its bounds and what it does."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
STATIC = Path(__file__).parent / "static"

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


class SettingsError(Exception):
    """A setting that cannot be used; `str()` is one line."""


class Settings(BaseModel):
    """What `python -m serving.gateway` takes as flags and as keys of its YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upstream: str = Field(
        "127.0.0.1:8500", description="HOST:PORT of the model server's gRPC", min_length=1
    )
    models: tuple[str, ...] = Field(
        ("text",),
        description="models that may be asked for; the first is the default",
        min_length=1,
    )
    default_label: str | None = Field(
        None, description="version label of requests that name none, without a rollout"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65_535, description="port to listen on; 0 picks a free one")
    store: str = Field(
        "sqlite:///gateway.db", description="sqlite:///PATH or postgresql+psycopg://..."
    )
    auth: Literal["none", "keys"] = Field(
        "none", description="none: everything is open; keys: every call of the API needs a key"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further Host headers taken by a gateway without keys on a loopback address"
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may call this API; none by default"
    )

    upstream_ca: Path | None = Field(None, description="CA certificates; turns TLS to upstream on")
    upstream_cert: Path | None = Field(None, description="client certificate for upstream (mTLS)")
    upstream_key: Path | None = Field(None, description="its private key")
    timeout: Seconds = Field(60.0, description="seconds that the model server may take")
    status_timeout: Seconds = Field(2.0, description="seconds that a status may take")

    max_body_bytes: int = Field(1 << 20, ge=1, description="size limit of a request's body")
    max_new_tokens: int = Field(4096, ge=1, description="most new tokens a request may ask for")
    max_images: int = Field(16, ge=1, le=1024, description="most images a request may ask for")
    max_rows: int = Field(10_000, ge=1, description="most rows a request may ask for")
    max_in_flight: int = Field(256, ge=1, description="requests to the model server at once")
    header_seconds: Seconds = Field(10.0, description="for a request's headers to arrive")
    body_seconds: Seconds = Field(30.0, description="for a request's body to arrive")
    write_seconds: Seconds = Field(30.0, description="for a client to take a piece of a stream")
    keep_alive_seconds: Seconds = Field(30.0, description="that an idle connection stays open")
    heartbeat_seconds: Seconds = Field(10.0, description="between comments in a silent stream")
    grace_seconds: Seconds = Field(20.0, description="for open requests to finish at the end")
    lame_duck_seconds: float = Field(
        0.0, ge=0, le=600, description="of answering while /readyz says 503, before the end"
    )

    first_chunk_tokens: int = Field(
        2, ge=1, le=1024, description="tokens of a stream's first chunk"
    )
    chunk_tokens: int = Field(8, ge=1, le=1024, description="tokens of later chunks")

    requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="limit for keys (or, without keys, addresses) with none of their own",
    )
    tokens_per_day: int | None = Field(
        None, ge=1, description="quota for keys with none of their own"
    )
    key_cache_seconds: Seconds = Field(
        5.0, description="that a key is trusted before it is looked up again"
    )
    key_stale_seconds: Seconds = Field(
        300.0, description="that a known key goes on working while the database is down"
    )
    sticky: Literal["session", "key", "none"] = Field(
        "key",
        description="what keeps its arm in a rollout: the X-Session-ID, or without one the key, "
        "unless the rollout found that keys are too few to be spread",
    )
    rollout_poll_seconds: Seconds = Field(1.0, description="between looks at the rollouts")
    upstream_poll_seconds: Seconds = Field(
        5.0, description="between looks at the model server's versions, for /metrics"
    )
    store_metrics_seconds: Seconds = Field(
        15.0, description="between looks at runs, approvals and monitorings, for /metrics"
    )
    deployment_seconds: Seconds = Field(
        10.0, description="between looks at what the model server serves, for the registry"
    )

    queue_records: int = Field(10_000, ge=1, description="records that wait for the database")
    queue_bytes: int = Field(64 << 20, ge=1, description="their size in bytes")
    flush_seconds: Seconds = Field(0.5, description="that a record may wait for others")
    store_seconds: Seconds = Field(5.0, description="that a caller waits for the database")
    record_bytes: int = Field(
        256 << 10, ge=0, description="largest binary input or output to keep; of others the digest"
    )
    record_prompts: bool = Field(True, description="keep prompts and other inputs")
    record_outputs: bool = Field(True, description="keep texts and other outputs")
    mask_personal_data: bool = Field(
        False, description="mask e-mail addresses, phone numbers and the like in what is kept"
    )
    retention_days: float | None = Field(
        None, gt=0, description="delete requests and feedback that are older; none keeps them"
    )

    keep_feedback: bool = Field(
        True, description="keep old requests that people gave feedback on, which training needs"
    )

    review_models: Path | None = Field(
        None, description="folder of models; turns the page on that reviews what waits there"
    )
    review_key: Path | None = Field(
        None, description="private key that signs verdicts; listed with the reviewers of the models"
    )
    approvers: Path | None = Field(
        None, description="file of reviewers; by default the one that each run was given"
    )

    static: Path = Field(STATIC, description="folder of the playground")
    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector, http://HOST:4318; traces are off without it"
    )
    trace_share: Share = Field(1.0, description="share of traces that start here and are sampled")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level of the log on standard error"
    )

    @field_validator("models")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not MODEL_NAME.fullmatch(name):
                raise ValueError("expected names of letters, digits, '_', '-' and '.'")
        return tuple(dict.fromkeys(names))

    @field_validator("upstream")
    @classmethod
    def _address(cls, address: str) -> str:
        _, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError("expected HOST:PORT")
        return address

    @field_validator("store")
    @classmethod
    def _url(cls, url: str) -> str:
        if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
        return url

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.upstream_cert is None) != (self.upstream_key is None):
            raise ValueError("upstream_cert and upstream_key go together")
        if self.upstream_cert is not None and self.upstream_ca is None:
            raise ValueError("upstream_cert needs upstream_ca")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load(file: Path | None, given: dict[str, Any]) -> Settings:
    """Settings from a YAML file, if any, and from flags, which win.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown or out of bounds.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values = _read(file)
    try:
        return Settings.model_validate({**values, **given})
    except ValidationError as error:
        raise SettingsError(_line(error)) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"expected settings in {file}. Received: {reason}") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"expected YAML in {file}. Received: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SettingsError(f"expected settings by name in {file}. Received: {values!r:.80}")
    return values


def _line(error: ValidationError) -> str:
    """The first mistake, in one line that names the setting."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name}; expected one of: {', '.join(Settings.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    return f"{name}: {message[0].lower()}{message[1:]}. Received: {first['input']!r:.80}"
