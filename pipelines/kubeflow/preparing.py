"""Makes what a person wants to run into a compiled pipeline and its arguments, or refuses it.

Nothing here talks to a cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ConfigError
from pipelines.compilation import Package, read_package, uncached
from pipelines.config import Config, load_config
from pipelines.hardware.places import check_places
from pipelines.kubeflow import arguments
from pipelines.kubeflow.submission import check_arguments, trigger_cron, trigger_every

if TYPE_CHECKING:
    from pipelines.cli_kubeflow import Chosen


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a person says of one run, or of a schedule.

    Attributes:
        overrides: of the configuration: SECTION.KEY=VALUE.
        params: of the pipeline: NAME=VALUE.
        run_name: empty for one that is made of the configuration's name and the time.
        records: folder of all runs' records; None for the usual one on the volume, empty for none.
        every, cron: a schedule; at most one of them.
    """

    overrides: tuple[str, ...]
    params: tuple[str, ...]
    run_name: str
    records: str | None
    every: str
    cron: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What can be uploaded and started.

    Attributes:
        package: the compiled pipeline.
        name: of the run or the schedule.
        arguments: of the pipeline, as far as they differ from its defaults.
        trigger: of a schedule, as the API has it; empty for one run.
    """

    package: Package
    name: str
    arguments: Mapping[str, Any]
    trigger: Mapping[str, Any]


def prepare(
    chosen: Chosen, asked: Asked, path: Path | None, edited: bool, scratch: Path
) -> Prepared:
    """Checks all that can be checked without the cluster; compiles where there is no package yet.

    Args:
        chosen: the pipeline.
        asked: the run.
        path: of what `loomline compile` wrote; None to compile now.
        edited: take one that was edited since.
        scratch: folder for what is compiled now.

    Raises:
        ConfigError: a choice, an override, a parameter, a schedule or a folder is wrong.
    """
    trigger = trigger_every(asked.every) if asked.every else {}
    trigger = trigger_cron(asked.cron) if asked.cron else trigger
    config = load_config(chosen.config, chosen.profile, asked.overrides)
    params = arguments.parsed(asked.params)
    # Overrides become arguments: as versions, there would be one for each of them.
    package = read_package(path, edited) if path else chosen.compile((), scratch / "pipeline.yaml")
    if path and chosen.volume and package.mount != chosen.volume.rstrip("/"):
        raise ConfigError(
            f"{path}: expected steps that see their volume at {chosen.volume} (--volume, "
            f"LOOMLINE_VOLUME). Received: {package.mount or 'no volume'}; compile it again"
        )
    if trigger:
        package = uncached(package, scratch / "recurring.yaml")
    name = asked.run_name or _name(chosen, bool(trigger))
    usual = f"{package.mount}/records" if package.mount else ""
    records = usual if asked.records is None else asked.records
    given = _arguments(package, config, asked.overrides, params, name, records, bool(trigger))
    check_arguments(package, given)
    check_places(package.mount, given)
    if not path:
        chosen.tell(package)
    return Prepared(package, name, given, trigger)


def _name(chosen: Chosen, recurring: bool) -> str:
    label, pipeline = chosen.label, chosen.pipeline
    named = label if pipeline == "training" else f"{pipeline}-{label}"
    # A schedule has one name, so that the next one takes its place.
    return named if recurring else f"{named}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _arguments(
    package: Package,
    config: Config,
    overrides: tuple[str, ...],
    params: dict[str, Any],
    name: str,
    records: str,
    recurring: bool,
) -> dict[str, Any]:
    run = arguments.of_this_run(package, config, name, "" if recurring else records)
    if recurring:
        # A digest of today's data would be a lie tomorrow; nothing is cached instead.
        for digest in ("source_digest", "prompts_digest"):
            run.pop(digest, None)
    return {
        **arguments.overridden(package, config, overrides),
        **run,
        **arguments.as_declared(package, params),
    }
