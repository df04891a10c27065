"""Enters runs into the registry, from the records that they left."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from components.artifacts import Drift, Report, read_json
from components.errors import DataError
from components.summarize.records import Records
from serving.commands import HELP
from serving.store.commands import STORE, opened


def register(records: Path, url: str) -> None:
    """Enters a run, or brings its entry up to date.

    Args:
        records: the run's folder of records.
        url: of the store.

    Raises:
        DataError: the folder holds no run that tells its model.
        UserError: the store failed.
    """
    content = _summary(records)
    provenance = content["provenance"]
    config = provenance.get("config") or {}
    from serving.store import Run, Version

    model = str(config["push"]["model_name"])
    decision = content.get("decision") or {}
    run = Run(
        model=model,
        run=str(provenance.get("run") or records.name),
        finished=_time(content.get("finished")),
        outcome=str(content["outcome"]),
        reason=str(content.get("reason") or decision.get("reason") or content.get("error") or ""),
        seconds=content.get("seconds"),
        source=str((config.get("ingest") or {}).get("source", "")),
        source_digest=str(provenance.get("source_digest", "")),
        code_digest=str(provenance.get("code_digest", "")),
        code_revision=str(provenance.get("code_revision", "")),
        config_digest=str(provenance.get("config_digest", "")),
        config=config,
        figures=_figures(records),
        champion_version=_champion(records),
        records=str(records.resolve()),
    )
    pushed = content.get("pushed")
    version = None
    if pushed:
        digest, path = str(pushed["model_digest"]), str(pushed["path"])
        version = Version(model, int(pushed["version"]), run.run, digest, path)
    with opened(url) as store:
        store.registry.record(run, version)


def _summary(records: Path) -> dict[str, Any]:
    path = Records(records).summary_path
    content = read_json(path)
    try:
        str(content["outcome"])
        str(content["provenance"]["config"]["push"]["model_name"])
    except (KeyError, TypeError):
        raise DataError(
            f"expected the summary of a run with its provenance at {path}. Received: another form; "
            "a run of an older Loomline cannot be entered"
        ) from None
    found: dict[str, Any] = content
    return found


def _figures(records: Path) -> dict[str, float | None]:
    reports: dict[str, Report] = {
        "evaluation": Records(records).evaluation(),
        "drift": Drift(records),
    }
    return {
        f"{kind}.{name}": figure.value
        for kind, report in reports.items()
        if report.json_path.is_file()
        for name, figure in report.figures().items()
    }


def _champion(records: Path) -> int | None:
    decision = Records(records).decision()
    with contextlib.suppress(DataError, KeyError, TypeError):
        version = decision.read()["champion_version"]
        return version if isinstance(version, int) else None
    return None


def _time(text: Any) -> datetime:
    with contextlib.suppress(ValueError, TypeError):
        return datetime.fromisoformat(text)
    return datetime.now(UTC)


@click.command(context_settings=HELP)
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="RECORDS...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@STORE
def add(folders: tuple[Path, ...], url: str) -> None:
    """Enter runs into the registry, such as those of a cluster, from their folders of records.

    Runs of `loomline run` are entered by themselves. A second time brings the entry up to date.
    """
    for folder in folders:
        register(folder, url)
        click.echo(f"entered {folder.resolve().name}")
