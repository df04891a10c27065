"""`loomline metrics`: what the gateway tells of runs and models, where there is no gateway."""

from __future__ import annotations

import click

from serving.commands import HELP, UserError
from serving.store.commands import STORE, opened

_PUSH_SECONDS = 10
_JOB = "loomline"


@click.command(context_settings=HELP)
@STORE
@click.option("--push-to", metavar="URL", help="Send them to this Pushgateway, http://HOST:9091.")
def metrics(url: str, push_to: str | None) -> None:
    """Print Prometheus metrics of runs, approvals and monitorings, as the gateway tells them.

    For batch jobs without a gateway: write them where a textfile collector looks, or push them.
    """
    from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway

    from serving.gateway.store_metrics import StoreMetrics
    from serving.gateway.store_watch import check_audit, read

    told = StoreMetrics(fresh_seconds=float("inf"))
    with opened(url, existing=True) as store:
        told.reading, told.audit = read(store), check_audit(store)
    registry = CollectorRegistry()
    registry.register(told)
    if push_to is None:
        click.echo(generate_latest(registry).decode(), nl=False)
        return
    try:
        push_to_gateway(push_to, job=_JOB, registry=registry, timeout=_PUSH_SECONDS)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"expected a Pushgateway at {push_to} that takes metrics. Received: {reason}"
        ) from None
    click.echo(f"sent to {push_to} as the job {_JOB}")
