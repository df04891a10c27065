"""Tells model servers which versions to serve, and waits until they do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.client import Client, ClientError, ModelNotFoundError, VersionStatus
from serving.client.admin import ModelConfig, reload
from serving.rollout import config_file
from serving.rollout.errors import LoadError, RolloutError

_POLL_SECONDS = 0.2
# A failed load takes longer than this from its start to its end.
_LOOK_SECONDS = 0.02
_FIRST_PAUSE_SECONDS = 1.0
_FORGET_SECONDS = 60.0


class Servers:
    """All servers of one model; they are to serve the same.

    Without a file they are reloaded by call, which replaces their whole configuration: for
    servers of several models, and for those that may restart, give the file that they poll
    (`--model_config_file` with `--model_config_file_poll_wait_seconds`).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        model: str,
        base_path: str,
        config_file: Path | None,
        load_seconds: float,
    ) -> None:
        """Nothing is sent yet.

        Args:
            addresses: HOST:PORT of each.
            model: name of the model.
            base_path: the model's folder of versions, as the servers see it.
            config_file: that the servers poll; None to reload by call.
            load_seconds: that versions may take to load.
        """
        self._addresses = list(addresses)
        self._model = model
        self._base_path = base_path
        self._file = config_file
        self._load_seconds = load_seconds

    @property
    def addresses(self) -> list[str]:
        """HOST:PORT of each."""
        return list(self._addresses)

    def serve(self, versions: Sequence[int], labels: Mapping[str, int]) -> None:
        """Makes every server serve these versions under these labels; again changes nothing.

        Labels are assigned when the versions are available: TensorFlow Serving refuses them
        before.

        Raises:
            RolloutError: a server refuses, cannot be reached, or a version does not load.
        """
        for address in self._addresses:
            loaded = {entry.version for entry in self._states(address) if _available(entry)}
            if not set(versions) <= loaded:
                self._load(address, set(versions), loaded, self._kept(labels, loaded))
        for address in self._addresses:
            self._apply(address, versions, labels)
            self._wait(address, versions, labels)

    def _load(
        self, address: str, versions: set[int], loaded: set[int], labels: Mapping[str, int]
    ) -> None:
        """Has a server load versions beside those that it serves.

        A server remembers that a version failed until it is told to load it anew, and one that
        is told the same again may not even try. So a version with an old failure is taken away
        first, and the failure counts again only when the server has been seen to try.
        """
        both = sorted(loaded | versions)
        old = self._failures(address, versions)
        deadline = time.monotonic() + min(self._load_seconds, _FORGET_SECONDS)
        pause = _FIRST_PAUSE_SECONDS
        while old and time.monotonic() < deadline:
            if loaded:
                self._apply(address, sorted(loaded), labels)
                time.sleep(pause)
            self._apply(address, both, labels)
            if self._begun(address, old, pause):
                break
            # A file is polled now and then: the next time it is left alone for longer.
            pause *= 2
        else:
            self._apply(address, both, labels)
        self._wait(address, sorted(versions))

    def _failures(self, address: str, versions: set[int]) -> set[VersionStatus]:
        """Failed loads of versions that a server remembers; one that starts anew knows none."""
        try:
            states = self._states(address)
        except RolloutError:
            return set()
        return {one for one in states if one.version in versions and _failed(one)}

    def _begun(self, address: str, old: set[VersionStatus], seconds: float) -> bool:
        """Whether a server forgets old failures within so many seconds."""
        deadline = time.monotonic() + seconds
        versions = {one.version for one in old}
        while time.monotonic() < deadline:
            if not old & self._failures(address, versions):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _kept(self, labels: Mapping[str, int], loaded: set[int]) -> dict[str, int]:
        """The labels that may be assigned already; a label that is left out is not served."""
        return {name: version for name, version in labels.items() if version in loaded}

    def _apply(self, address: str, versions: Sequence[int], labels: Mapping[str, int]) -> None:
        config = ModelConfig(self._model, self._base_path, sorted(versions), labels)
        if self._file is not None:
            config_file.write(self._file, config)
            return
        try:
            reload(address, [config], timeout=self._load_seconds)
        except ClientError as error:
            raise RolloutError(str(error)) from None

    def available(self) -> set[int]:
        """The versions that the servers serve, all of them the same; none where all are empty.

        Raises:
            RolloutError: a server cannot be reached, is still loading, or serves others.
        """
        found: dict[str, set[int]] = {}
        for address in self._addresses:
            states = self._states(address)
            found[address] = {entry.version for entry in states if _available(entry)}
            if not found[address] and any(entry.error_code == "OK" for entry in states):
                raise RolloutError(
                    f"expected {address} to serve a version, or to know none. "
                    f"Received: {', '.join(map(_described, states))}; try again"
                )
        if len({frozenset(versions) for versions in found.values()}) > 1:
            seen = ", ".join(f"{address} {sorted(each)}" for address, each in found.items())
            raise RolloutError(f"expected servers that serve the same versions. Received: {seen}")
        return next(iter(found.values()), set())

    def anywhere(self) -> set[int]:
        """The versions that any server serves.

        Raises:
            RolloutError: a server cannot be reached.
        """
        states = [entry for address in self._addresses for entry in self._states(address)]
        return {entry.version for entry in states if _available(entry)}

    def _states(self, address: str) -> list[VersionStatus]:
        try:
            with Client(address, model=self._model, timeout=10) as client:
                return client.status()
        except ModelNotFoundError:
            return []
        except ClientError as error:
            raise RolloutError(str(error)) from None

    def _wait(
        self, address: str, versions: Sequence[int], labels: Mapping[str, int] | None = None
    ) -> None:
        """Waits until the versions are served and, where labels are given, no others are.

        A server that polls a file applies it some time after it was written: the labels show
        that it has.

        Raises:
            RolloutError: a version failed to load, or the time is over.
        """
        deadline = time.monotonic() + self._load_seconds
        wanted = set(versions)
        seen = "nothing"
        kind: type[RolloutError] = LoadError
        while time.monotonic() < deadline:
            try:
                states, kind = self._states(address), LoadError
                seen = ", ".join(map(_described, states)) or seen
            except RolloutError as error:
                # It may be starting again.
                states, kind, seen = [], RolloutError, str(error)
            for one in states:
                if one.version in wanted and _failed(one):
                    raise LoadError(
                        f"{address} could not load version {one.version}: {one.error_message}"
                    )
            served = {one.version for one in states if _available(one)}
            if wanted <= served and labels is None:
                return
            if wanted == served and labels is not None and self._labelled(address, labels):
                return
            time.sleep(_POLL_SECONDS)
        raise kind(
            f"expected {address} to serve versions {sorted(wanted)} within "
            f"{self._load_seconds:g} s. Received: {seen}"
        )

    def _labelled(self, address: str, labels: Mapping[str, int]) -> bool:
        """Whether a server knows these labels, for these versions."""
        try:
            with Client(address, model=self._model, timeout=10) as client:
                return all(
                    client.metadata(label=label).version == version
                    for label, version in labels.items()
                )
        except ClientError:
            return False


def _described(entry: VersionStatus) -> str:
    return f"version {entry.version} {entry.state} {entry.error_message}".rstrip()


def _failed(entry: VersionStatus) -> bool:
    return entry.state == "END" and entry.error_code != "OK"


def _available(entry: VersionStatus) -> bool:
    return entry.state == "AVAILABLE"
