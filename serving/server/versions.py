"""One version of a model and its way from found to unloaded."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc

from serving.server.errors import StatusError

if TYPE_CHECKING:
    from serving.server.config import ModelConfig
    from serving.server.predict import LoadedModel


class State(enum.IntEnum):
    """States of a version, numbered as in TensorFlow Serving's ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(eq=False)
class Version:
    """One version and what became of it; guarded by the manager's lock.

    Attributes:
        location: its folder, or its URI in object storage.
        round: the configuration under which it was found first, counted from 1.
        aspired: whether the version policy wants it.
        busy: whether a load is queued or under way.
        error: why the last load failed; while LOADING another one follows.
        attempts: loads that failed so far.
        next_attempt: monotonic time before which it is not tried again.
        in_flight: requests that it is answering now.
    """

    number: int
    location: str
    round: int = 0
    state: State = State.START
    aspired: bool = True
    busy: bool = False
    error: StatusError | None = None
    attempts: int = 0
    next_attempt: float = 0.0
    in_flight: int = 0
    model: LoadedModel | None = None

    @property
    def loadable(self) -> bool:
        """Whether a first load or another one may be started."""
        return self.aspired and not self.busy and self.state in (State.START, State.LOADING)

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in (State.AVAILABLE, State.END)


def to_unload(versions: Iterable[Version]) -> list[Version]:
    """Which versions to unload now, so that the model stays available.

    One that is no longer wanted goes once a wanted one is available, or none is wanted at all;
    of several that are no longer wanted the newest stays until then.
    """
    versions = list(versions)
    ready = [entry for entry in versions if entry.state == State.AVAILABLE]
    unwanted = sorted((v for v in ready if not v.aspired), key=lambda entry: entry.number)
    if any(v.aspired for v in ready) or not any(v.aspired for v in versions):
        return unwanted
    return unwanted[:-1]


def to_load(versions: Iterable[Version], now: float) -> list[Version]:
    """Which versions to load now, the newest first."""
    due = [entry for entry in versions if entry.loadable and entry.next_attempt <= now]
    return sorted(due, key=lambda entry: entry.number, reverse=True)


def outcome_known(versions: Sequence[Version]) -> bool:
    """Whether a model whose versions these are answers, or will not by itself."""
    if any(entry.state == State.AVAILABLE for entry in versions):
        return True
    return bool(versions) and all(entry.settled for entry in versions)


def failures(versions: Sequence[Version]) -> list[Version]:
    """The versions that failed, where none is available."""
    if any(entry.state == State.AVAILABLE for entry in versions):
        return []
    return [entry for entry in versions if entry.error is not None]


def did_not_become_available(failed: Mapping[str, Sequence[Version]]) -> StatusError:
    """The status of a configuration whose new models failed; TensorFlow Serving's words.

    Args:
        failed: versions by model.
    """
    listed = "".join(
        f"{{{{name: {name} version: {entry.number}}} due to error: "
        f"{entry.error.code.name}: {entry.error.message}}}, "
        for name, entries in failed.items()
        for entry in entries
        if entry.error is not None
    )
    count = sum(bool(entries) for entries in failed.values())
    return StatusError(
        grpc.StatusCode.UNKNOWN, f"{count} model(s) did not become available: {{{listed}}}"
    )


def check_labels(
    models: Iterable[ModelConfig],
    *,
    before: Mapping[str, Mapping[str, int]],
    versions: Mapping[str, Mapping[int, Version]],
    allow_unavailable: bool,
) -> None:
    """Checks that every label names a version that answers.

    Args:
        models: the new configuration.
        before: the labels so far, by model.
        versions: what is known, by model and number.
        allow_unavailable: whether a label that is new, or stays, may name any version.

    Raises:
        StatusError: FAILED_PRECONDITION with TensorFlow Serving's words.
    """
    for model in models:
        for label, number in model.labels.items():
            moves = before.get(model.name, {}).get(label, number) != number
            if allow_unavailable and not moves:
                continue
            entry = versions.get(model.name, {}).get(number)
            if entry is None or entry.state != State.AVAILABLE:
                raise StatusError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {model.name}, "
                    "which is not currently available for inference",
                )
