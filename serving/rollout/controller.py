"""Takes a candidate from publishing to promotion or back, in steps that may be repeated."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serving import storage
from serving.rollout.errors import LoadError, RolloutError
from serving.rollout.judging import Arm, Judgement, compare, described, judge
from serving.rollout.servers import Servers
from serving.rollout.settings import RolloutSettings
from serving.rollout.tally import Side, Tally
from serving.store import Rollout, Store, StoreError
from serving.store.errors import ConflictError

PUBLISHING = "publishing"
LOADING = "loading"
CANARY = "canary"
PROMOTING = "promoting"
ROLLING_BACK = "rolling_back"
PROMOTED = "promoted"
ROLLED_BACK = "rolled_back"

STABLE_LABEL = "stable"
CANARY_LABEL = "canary"

# So many keys are expected in the smallest share before keys may decide who is in it.
_KEYS_IN_SHARE = 5
_FIRST_PAUSE, _LAST_PAUSE = 1.0, 30.0


def settings_of(rollout: Rollout) -> RolloutSettings:
    """The settings that a rollout began with.

    Raises:
        RolloutError: another version of Loomline wrote them.
    """
    try:
        return RolloutSettings(**rollout.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RolloutError(
            f"expected settings of this version of Loomline. Received: {where}, {first['msg']}; "
            "close the record with: loomline rollout rollback --abandon"
        ) from None


def abandon(store: Store, rollout: Rollout, reason: str) -> None:
    """Closes the record of a rollout and touches no server; for servers that are gone.

    Raises:
        StoreError: somebody else changed it, or the database failed.
    """
    closed = dataclasses.replace(
        rollout, state=ROLLED_BACK, share=0.0, details={**rollout.details, "reason": reason}
    )
    store.rollouts.update(
        closed, expected_state=rollout.state, event="abandoned", event_details={"reason": reason}
    )


def servers_of(model: str, settings: RolloutSettings) -> Servers:
    """The servers that settings name."""
    file = settings.model_config_file
    return Servers(
        settings.servers,
        model,
        settings.base_path,
        Path(file) if file else None,
        settings.load_seconds,
    )


def start(store: Store, model: str, candidate: int, settings: RolloutSettings) -> Rollout:
    """Begins a rollout; nothing is sent to a server yet.

    Args:
        store: where it is kept.
        model: name of the model.
        candidate: version number of the candidate.
        settings: kept with it.

    Raises:
        RolloutError: the candidate is served already, or a server cannot be reached.
        StoreError: a rollout of this model is active, or the database failed.
    """
    served = servers_of(model, settings).available()
    if candidate in served:
        raise RolloutError(
            f"expected a version that is not served yet. Received: {candidate}, which is. A server "
            "that takes the latest version by itself leaves nothing to roll out: pin it first"
        )
    stable = max(served, default=None)
    if settings.source is None and candidate not in storage.list_versions(settings.base_path):
        raise RolloutError(
            f"expected version {candidate} in {settings.base_path}. Received: no such version; "
            "name the folder to publish it from"
        )
    if settings.spread == "auto":
        settings = settings.model_copy(update={"spread": _spread(store, settings)})
    rollout = store.rollouts.create(
        model,
        stable_version=stable,
        candidate_version=candidate,
        state=PUBLISHING if settings.source is not None else LOADING,
        settings=settings.model_dump(mode="json"),
    )
    details = {"candidate": candidate, "stable": stable}
    store.rollouts.add_event(rollout.id, "started", details)
    return rollout


def usable_keys(store: Store) -> int:
    """The number of API keys that gateways take.

    Raises:
        StoreError: the database failed.
    """
    now = datetime.now(UTC)
    return sum(key.problem(now) is None for key in store.keys.list())


def _spread(store: Store, settings: RolloutSettings) -> str:
    """By request where so few keys hold all traffic that a share of them may be nobody."""
    keys = usable_keys(store)
    return "request" if keys * min(settings.steps) < _KEYS_IN_SHARE else "key"


def go_back(store: Store, model: str, reason: str = "by hand") -> Rollout:
    """Begins the way back from the newest promotion: the version before serves alone again.

    Raises:
        RolloutError: nothing was promoted, or there was no version before.
        StoreError: a rollout of this model is active, or the database failed.
    """
    ended = [one for one in store.rollouts.list(model) if one.state in (PROMOTED, ROLLED_BACK)]
    newest = ended[0] if ended else None
    if newest is None or newest.state != PROMOTED or newest.stable_version is None:
        raise RolloutError(
            f"expected a promotion of {model} to go back from. Received: "
            + (newest.state if newest else "no rollout")
        )
    rollout = store.rollouts.create(
        model,
        stable_version=newest.stable_version,
        candidate_version=newest.candidate_version,
        state=ROLLING_BACK,
        settings=newest.settings,
    )
    return store.rollouts.update(
        dataclasses.replace(rollout, details={"reason": reason}),
        expected_state=ROLLING_BACK,
        event="going back",
        event_details={"from": newest.candidate_version, "reason": reason},
    )


def pin(model: str, settings: RolloutSettings) -> int:
    """Has the servers stay with the version that they serve, until a rollout changes it.

    A server that follows the latest version would take a new one as soon as it is published.

    Returns:
        The version.

    Raises:
        RolloutError: there is none, or a server cannot be reached.
    """
    servers = servers_of(model, settings)
    version = max(servers.available(), default=None)
    if version is None:
        raise RolloutError(
            f"expected a version of {model} that every server serves. Received: none"
        )
    servers.serve([version], {STABLE_LABEL: version})
    return version


class Controller:
    """Drives one rollout.

    Every step reads what is so, does what is missing, and writes the next state with a
    comparison to the one before: a controller that is killed anywhere, or runs twice, ends where
    one alone would have.
    """

    def __init__(
        self,
        store: Store,
        rollout: Rollout,
        *,
        servers: Sequence[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is done before `advance`.

        Args:
            store: that holds the rollout and the records of requests.
            rollout: as read from the store.
            servers: HOST:PORT of every server, where those of the rollout's start have moved.
            clock: the time in UTC.
            sleep: waits for gateways to notice a change.
        """
        self.rollout = rollout
        self.settings = settings_of(rollout)
        if servers:
            self.settings = self.settings.model_copy(update={"servers": tuple(servers)})
        self._tallies: dict[str, Tally] = {}
        self._store = store
        self._servers = servers_of(rollout.model, self.settings)
        self._clock = clock
        self._sleep = sleep

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.rollout.state in (PROMOTED, ROLLED_BACK)

    def advance(self) -> str:
        """Does one step; what was found or done, in one line.

        Raises:
            RolloutError: a server or the storage refuses; the same step may be tried again.
            StoreError: somebody else drives the rollout, or the database failed.
        """
        steps: dict[str, Callable[[], str]] = {
            PUBLISHING: self._publish,
            LOADING: self._load,
            CANARY: self._watch,
            PROMOTING: self._promote,
            ROLLING_BACK: self._roll_back,
        }
        self._reread()
        step = steps.get(self.rollout.state)
        if step is None:
            return f"{self.rollout.state}: {self.rollout.details.get('reason', '')}"
        return step()

    def _reread(self) -> bool:
        """Takes over what somebody else has decided meanwhile; whether there was anything."""
        found = self._store.rollouts.get(self.rollout.id)
        if found is None or found.updated == self.rollout.updated:
            return False
        self.rollout = found
        return True

    def drive(self, poll_seconds: float, patience_seconds: float = 0.0) -> Iterator[str]:
        """Advances until the rollout is over; yields what each step says.

        Args:
            poll_seconds: pause between two looks.
            patience_seconds: that the database may fail in a row; until then the step is tried
                again, after pauses that grow.

        Raises:
            RolloutError, StoreError: as `advance`; the rollout stays as it is.
        """
        failing: float | None = None
        pause = _FIRST_PAUSE
        while not self.over:
            before = (self.rollout.state, self.rollout.share)
            try:
                line = self.advance()
            except ConflictError as error:
                # Its next look takes over what the other one did.
                line = str(error)
            except StoreError as error:
                now = time.monotonic()
                failing = now if failing is None else failing
                left = patience_seconds - (now - failing)
                if left <= 0:
                    raise _gave_up(error, patience_seconds) from None
                pause = min(pause, left)
                yield f"trying again in {pause:.0f} s, for {left:.0f} s yet: {error}"
                self._sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
                continue
            failing, pause = None, _FIRST_PAUSE
            yield line
            if (self.rollout.state, self.rollout.share) == before:
                self._sleep(poll_seconds)

    def promote(self, reason: str) -> None:
        """Has the candidate become the stable version at the next step."""
        self._leave(PROMOTING, reason)

    def roll_back(self, reason: str) -> None:
        """Has the stable version serve alone again at the next step."""
        self._leave(ROLLING_BACK, reason)

    def _leave(self, state: str, reason: str) -> None:
        if self.over or self.rollout.state == state:
            raise RolloutError(f"expected a rollout under way. Received: {self.rollout.state}")
        if state == PROMOTING and self.rollout.state != CANARY:
            raise RolloutError(
                f"expected a candidate that is loaded. Received: {self.rollout.state}"
            )
        share = 0.0 if state == ROLLING_BACK else self.rollout.share
        self._move(state, reason, share=share)

    def _move(
        self, state: str, reason: str, *, share: float, details: dict[str, Any] | None = None
    ) -> None:
        changed = dataclasses.replace(
            self.rollout,
            state=state,
            share=share,
            details={**self.rollout.details, **(details or {}), "reason": reason},
        )
        self.rollout = self._store.rollouts.update(
            changed,
            expected_state=self.rollout.state,
            event=state,
            event_details={"reason": reason, "share": share},
        )

    def _serve(self, versions: Sequence[int], labels: Mapping[str, int]) -> None:
        """Has every server serve these versions under these labels, and notes that they do."""
        self._servers.serve(versions, labels)
        serving = {
            version: [label for label, at in labels.items() if at == version]
            for version in versions
        }
        now = self._clock()
        for address in self._servers.addresses:
            self._store.deployments.observe(address, self.rollout.model, serving, now)

    def _publish(self) -> str:
        source, stable = self.settings.source, self.rollout.stable_version
        assert source is not None
        if stable is not None:
            # A server that follows the latest version would take the candidate for all requests.
            self._serve([stable], {STABLE_LABEL: stable})
        try:
            where = storage.publish(
                Path(source), self.settings.base_path, self.rollout.candidate_version
            )
        except storage.StorageError as error:
            raise RolloutError(str(error)) from None
        self._move(LOADING, f"published to {where}", share=0.0)
        return f"published to {where}"

    def _load(self) -> str:
        stable, candidate = self.rollout.stable_version, self.rollout.candidate_version
        if stable is None:
            self._serve([candidate], {STABLE_LABEL: candidate})
            self._move(PROMOTED, "the first version of this model", share=0.0)
            return f"version {candidate} serves; there was none to compare it with"
        # From now on gateways ask for the label, not for the latest version.
        self._serve([stable], {STABLE_LABEL: stable})
        self._sleep(self.settings.settle_seconds)
        if self._reread():
            return f"somebody decided meanwhile: {self.rollout.state}"
        try:
            self._serve([stable, candidate], {STABLE_LABEL: stable, CANARY_LABEL: candidate})
        except LoadError as error:
            self._move(ROLLING_BACK, str(error), share=0.0)
            return f"could not load: {error}"
        self._begin_step(0, f"version {candidate} is loaded and warm")
        return f"version {candidate} is loaded and warm beside version {stable}"

    def _begin_step(self, index: int, reason: str) -> None:
        share = self.settings.steps[index]
        details = {"step": index, "step_started": self._clock().isoformat()}
        self._move(CANARY, reason, share=share, details=details)

    def arms(self, whole: bool = False) -> tuple[Arm, Arm]:
        """What both versions did in the step under way, so far.

        Args:
            whole: read everything anew, also what was recorded unusually late; otherwise what is
                new since the last call.

        Raises:
            StoreError: the database failed.
        """
        stable, candidate = self.rollout.stable_version, self.rollout.candidate_version
        if whole:
            self._tallies.clear()
        return self._arm(stable, STABLE_LABEL), self._arm(candidate, CANARY_LABEL)

    def _arm(self, version: int | None, arm: str) -> Arm:
        if version is None:
            return Arm()
        started = datetime.fromisoformat(self.rollout.details["step_started"])
        side = Side(self.rollout.model, version, arm, started)
        tally = self._tallies.get(arm)
        if tally is None or tally.side != side:
            tally = self._tallies[arm] = Tally(self._store, side)
        return tally.look()

    def judgement(self, whole: bool = False) -> tuple[Judgement, list[str]]:
        """What to do about the step under way, and the comparisons behind it in words.

        Args:
            whole: as in `arms`.

        Raises:
            StoreError: the database failed.
        """
        stable, candidate = self.arms(whole)
        index = self.rollout.details["step"]
        started = datetime.fromisoformat(self.rollout.details["step_started"])
        hours = (self._clock() - started).total_seconds() / 3600
        comparisons = compare(stable, candidate, self.settings)
        last = index == len(self.settings.steps) - 1
        found = judge(comparisons, candidate, hours, last, self.settings)
        lines = [f"{one.measure}: {described(one)} ({one.verdict})" for one in comparisons]
        return found, lines

    def _watch(self) -> str:
        found, lines = self.judgement()
        if found.action not in ("wait", "hold"):
            # What is decided is decided on everything that is known.
            found, lines = self.judgement(whole=True)
        index = self.rollout.details["step"]
        if found.action == "advance":
            self._begin_step(index + 1, found.reason)
        elif found.action == "promote":
            self._move(
                PROMOTING, found.reason, share=self.rollout.share, details={"figures": lines}
            )
        elif found.action == "rollback":
            self._move(ROLLING_BACK, found.reason, share=0.0, details={"figures": lines})
        return f"{self.settings.steps[index]:.0%} of the requests: {found.reason}"

    def _promote(self) -> str:
        stable, candidate = self.rollout.stable_version, self.rollout.candidate_version
        assert stable is not None
        # Both labels first, so that every request goes to the candidate and none meets a label
        # that is gone; then gateways have time to notice that there is nothing left to share.
        both = {STABLE_LABEL: candidate, CANARY_LABEL: candidate}
        self._serve([stable, candidate], both)
        reason = self.rollout.details.get("reason", "")
        if self.rollout.share:
            self._move(PROMOTING, reason, share=0.0)
        self._sleep(self.settings.settle_seconds + self.settings.drain_seconds)
        # Without a rollout requests go to the latest version: an older candidate must be alone.
        keep = self.settings.keep_previous and stable < candidate
        kept = [stable, candidate] if keep else [candidate]
        self._serve(kept, {STABLE_LABEL: candidate})
        self._move(PROMOTED, reason, share=0.0)
        return f"version {candidate} is stable"

    def _roll_back(self) -> str:
        stable = self.rollout.stable_version
        reason = self.rollout.details.get("reason", "")
        if stable is not None:
            # The share is 0 already; requests under way and gateways that have not noticed yet
            # still find the label.
            if self._servers.anywhere() > {stable}:
                self._serve(
                    [stable, self.rollout.candidate_version],
                    {STABLE_LABEL: stable, CANARY_LABEL: stable},
                )
                self._sleep(self.settings.settle_seconds + self.settings.drain_seconds)
            self._serve([stable], {STABLE_LABEL: stable})
        self._move(ROLLED_BACK, reason, share=0.0)
        return f"version {stable} serves alone: {reason}"


def _gave_up(error: StoreError, seconds: float) -> StoreError:
    if not seconds:
        return error
    return StoreError(
        f"expected the database to answer again within {seconds:g} s. Received: {error}; the "
        "rollout stays as it is, go on with: loomline rollout watch"
    )
