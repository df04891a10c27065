"""The dashboard of the models: runs, figures, drift, approvals, monitoring and retraining."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from manifests.monitoring.grafana.panels import BAD_FROM_ONE, board, graph, number, rows

_MODEL = 'model=~"$model"'
_DAY = 86_400
_AGE = ((None, "green"), (2 * _DAY, "orange"), (7 * _DAY, "red"))


def models() -> Dashboard:
    """What became of the runs, is the model still good, and what waits for whom?"""
    made = board(
        "loomline-models",
        "Loomline: models",
        "What became of runs, whether the models are still good, and what waits for people.",
        "now-30d",
        "loomline_approvals_pending",
    )
    for part in (_glance, _monitoring, _runs, _people):
        made = part(made)
    return made


def _of(metric: str, *labels: str, **selected: str) -> str:
    """A gauge of the store, of which several gateways tell the same."""
    more = "".join(f', {name}="{value}"' for name, value in selected.items())
    return f"max by ({', '.join(('model', *labels))}) (loomline_{metric}{{{_MODEL}{more}}})"


def _glance(made: Dashboard) -> Dashboard:
    read = "min(loomline_store_up)"
    return (
        made.with_row(Row("At a glance"))
        .with_panel(
            number("Newest run", "Its outcome.",
                   (f"{_of('run_outcome', 'outcome')} == 1", "{{model}}: {{outcome}}"),
                   words={"1": "✓"}, width=5)
        )
        .with_panel(
            number("Last run that succeeded", "How long ago; rejected ones count, failed ones not.",
                   (f"time() - {_of('run_succeeded_timestamp_seconds')}", "{{model}}"), unit="s",
                   steps=((None, "green"), (30 * _DAY, "orange")))
        )
        .with_panel(
            number("Published version", "The newest.", (_of("version_published"), "{{model}}"),
                   width=3)
        )
        .with_panel(
            number("Last monitored", "How long ago.",
                   (f"time() - {_of('monitoring_timestamp_seconds')}", "{{model}}"), unit="s",
                   steps=_AGE)
        )
        .with_panel(
            number("Monitoring says", "The newest verdict.",
                   (f"{_of('monitoring_verdict', 'verdict')} == 1", "{{model}}: {{verdict}}"),
                   words={"1": "✓"}, width=5)
        )
        .with_panel(
            number("Store", "Whether what is shown here is read anew.", (read, ""), width=3,
                   steps=((None, "red"), (1, "green")), words={"0": "away", "1": "up"})
        )
    )  # fmt: skip


def _monitoring(made: Dashboard) -> Dashboard:
    figure = _of("monitoring_figure", "figure")
    quality = (
        f'max by (model, figure) (loomline_monitoring_figure{{{_MODEL}, figure=~"quality.+"}})'
    )
    return (
        made.with_row(Row("Monitoring"))
        .with_panel(
            graph("Drift", "Share of the measures that drifted, by what was compared.",
                  [(_of("monitoring_drift_ratio", "comparison"), "{{model}} {{comparison}}")],
                  unit="percentunit", most=1)
        )
        .with_panel(
            graph("Quality", "Nats a byte: what people edited, and held-out texts.",
                  [(quality, "{{model}} {{figure}}")])
        )
        .with_panel(
            graph("Requests looked at", "By the newest monitoring.",
                  [(_of("monitoring_requests"), "{{model}}")])
        )
        .with_panel(
            rows("Figures of the newest monitoring", "Each in its own unit.", figure,
                 {"model": "model", "figure": "figure"})
        )
        .with_panel(
            graph("Retrainings", "That monitoring asked for, by state.",
                  [(_of("retrainings", "state"), "{{model}} {{state}}")], width=6)
        )
        .with_panel(
            rows("Newest retraining", "Its state.",
                 f"{_of('retraining_state', 'state')} == 1", {"state": "state"}, width=6)
        )
    )  # fmt: skip


def _runs(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Runs"))
        .with_panel(
            graph("Runs by outcome", "In the registry.",
                  [(_of("runs", "outcome"), "{{model}} {{outcome}}")])
        )
        .with_panel(
            graph("Time of the newest run", "", [(_of("run_duration_seconds"), "{{model}}")],
                  unit="s")
        )
        .with_panel(
            graph("Drift in the newest run", "Of the current data, and of what is generated.",
                  [(_of("run_drift_ratio", "comparison"), "{{model}} {{comparison}}")],
                  unit="percentunit", most=1)
        )
        .with_panel(
            rows("Figures of the newest run", "Each in its own unit.",
                 _of("run_figure", "figure"), {"figure": "figure"})
        )
        .with_panel(
            rows("Figures of the published version", "What it was published with.",
                 _of("version_figure", "figure"), {"figure": "figure"})
        )
    )  # fmt: skip


def _people(made: Dashboard) -> Dashboard:
    waited = f"time() - {_of('approvals_oldest_pending_timestamp_seconds')}"
    return (
        made.with_row(Row("People, and the store"))
        .with_panel(
            number("Candidates that wait", "For a person's verdict.",
                   (_of("approvals_pending"), "{{model}}"), steps=((None, "green"), (1, "orange")))
        )
        .with_panel(
            number("Longest wait", "", (waited, "{{model}}"), unit="s", none="nothing waits",
                   steps=((None, "green"), (_DAY, "orange"), (7 * _DAY, "red")))
        )
        .with_panel(
            number("Audit log", "Whether its chain held when it was checked.",
                   ("min(loomline_audit_intact)", ""), words={"0": "changed", "1": "holds"},
                   steps=((None, "red"), (1, "green")))
        )
        .with_panel(
            number("Entries of the audit log", "", ("max(loomline_audit_entries)", ""))
        )
        .with_panel(
            number("Models left out", "To keep the number of series within bounds.",
                   ("max(loomline_store_models_left_out)", ""), steps=BAD_FROM_ONE)
        )
        .with_panel(
            number("Age of what is shown", "Since the store was read.",
                   ("time() - max(loomline_store_refreshed_timestamp_seconds)", ""), unit="s",
                   steps=((None, "green"), (120, "red")))
        )
    )  # fmt: skip
