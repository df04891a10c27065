"""What made a version, what it was compared with, who approved it, and where it serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from serving.store.cleaning import storable
from serving.store.errors import StoreError
from serving.store.types import Approval, Deployment, Run, Version

if TYPE_CHECKING:
    from serving.store.store import Store


class UnknownRunError(StoreError):
    """No run, or more than one, goes by a name."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """A run with all that came of it.

    Attributes:
        versions: that it published, the newest first; one at most, as a rule.
        approvals: verdicts on its candidate, oldest first.
        deployments: where its versions were served when last seen.
    """

    run: Run
    versions: list[Version]
    approvals: list[Approval]
    deployments: list[Deployment]


def origins(store: Store, runs: Sequence[Run]) -> list[Origin]:
    """What came of each run.

    Raises:
        StoreError: the database failed.
    """
    found = []
    for model in {run.model for run in runs}:
        versions = store.registry.versions(model=model)
        approvals = store.approvals.of_model(model)
        deployments = store.deployments.current(model=model)
        for run in runs:
            if run.model == model:
                own = [one for one in versions if one.run == run.run]
                numbers = {one.version for one in own}
                found.append(
                    Origin(
                        run,
                        own,
                        [one for one in approvals if one.run == run.run],
                        [one for one in deployments if one.version in numbers],
                    )
                )
    places = {(run.model, run.run): place for place, run in enumerate(runs)}
    return sorted(found, key=lambda one: places[one.run.model, one.run.run])


def chain(store: Store, name: str) -> list[Origin]:
    """What made a version, then what made the champion that it was compared with, and so on.

    Args:
        store: to read from.
        name: RUN, MODEL/RUN or MODEL/VERSION.

    Raises:
        UnknownRunError: nothing, or more than one run, goes by that name.
        StoreError: the database failed.
    """
    run = find(store, name)
    runs = {run.run: run}
    versions = {one.version: one for one in store.registry.versions(model=run.model)}
    while True:
        champion = versions.get(-1 if run.champion_version is None else run.champion_version)
        before = store.registry.get(run.model, champion.run) if champion else None
        if before is None or before.run in runs:
            return origins(store, list(runs.values()))
        run = runs[before.run] = before


def find(store: Store, name: str) -> Run:
    """The run of a name.

    Args:
        store: to read from.
        name: RUN, MODEL/RUN or MODEL/VERSION.

    Raises:
        UnknownRunError: there is none, or more than one.
        StoreError: the database failed.
    """
    model, _, last = storable(name).rpartition("/")
    # Names of runs are dates and times; nobody has so many versions.
    if model and last.isdecimal() and len(last) < 10:
        versions = {one.version: one.run for one in store.registry.versions(model=model)}
        last = versions.get(int(last), last)
    found = [one for one in store.registry.named(last) if not model or one.model == model]
    if len(found) == 1:
        return found[0]
    what = "none" if not found else " and ".join(f"{one.model}/{one.run}" for one in found)
    raise UnknownRunError(
        f"expected the name of one run (loomline runs list). Received: {storable(name)}: {what}"
    )
