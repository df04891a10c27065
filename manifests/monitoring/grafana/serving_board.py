"""The dashboard of what is served: the gateway, the model server, and a rollout under way."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from manifests.monitoring.grafana.panels import GOOD_FROM_ONE, board, graph, number, rows

_MODEL = 'model=~"$model"'
_SERVED = 'model_name=~"$model"'
_RATE = "[$__rate_interval]"


def serving() -> Dashboard:
    """Are the models answered for, how fast, and what is in the way?"""
    made = board(
        "loomline-serving",
        "Loomline: serving",
        "Whether the models answer, how fast, and what stands in the way.",
        "now-3h",
        "loomline_gateway_model_available_versions",
    )
    for part in (_glance, _calls, _rollout, _server, _resources):
        made = part(made)
    return made


def _quantiles(metric: str, by: str, name: str) -> list[tuple[str, str]]:
    selected = f"sum by ({by}, le) (rate({metric}_bucket{{{_MODEL}}}{_RATE}))"
    return [
        (f"histogram_quantile({share}, {selected})", f"{name} p{share * 100:.0f}")
        for share in (0.5, 0.95, 0.99)
    ]


def _glance(made: Dashboard) -> Dashboard:
    failed = f"max(model:loomline_gateway_calls_failed:ratio_rate5m{{{_MODEL}}})"
    slow = f"max(model_call:loomline_gateway_request_seconds:p95_5m{{{_MODEL}}})"
    return (
        made.with_row(Row("At a glance"))
        .with_panel(
            number(
                "Gateways up",
                "Gateways that Prometheus can read.",
                ('sum(up{job="loomline-gateway"})', ""),
                steps=GOOD_FROM_ONE,
            )
        )
        .with_panel(
            number(
                "Servers up",
                "Model servers that Prometheus can read.",
                ('sum(up{job="loomline-server"})', ""),
                steps=GOOD_FROM_ONE,
            )
        )
        .with_panel(
            number(
                "Available version",
                "Newest version that the model server has available; 0 without one.",
                (f"max by (model) (loomline_gateway_model_version{{{_MODEL}}})", "{{model}}"),
                steps=GOOD_FROM_ONE,
            )
        )
        .with_panel(
            number(
                "Calls a second",
                "Calls of models through the gateways.",
                (f"sum(model_arm:loomline_gateway_calls:rate5m{{{_MODEL}}})", ""),
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Calls that fail",
                "Share that fails through no fault of the callers, of the worst model.",
                (failed, ""),
                unit="percentunit",
                steps=((None, "green"), (0.01, "orange"), (0.05, "red")),
            )
        )
        .with_panel(
            number(
                "Slowest p95",
                "95th percentile of the time of a call, of the slowest kind.",
                (slow, ""),
                unit="s",
                steps=((None, "green"), (2, "orange"), (5, "red")),
            )
        )
        .with_panel(
            rows(
                "Alerts that fire",
                "Loomline's alerts; docs/how-to/watch-a-model.md has a section for each.",
                'ALERTS{alertname=~"Loomline.+", alertstate="firing"}',
                {"alertname": "alert"},
                width=24,
                none="none",
            )
        )
    )


def _calls(made: Dashboard) -> Dashboard:
    codes = f"sum by (model, code) (rate(loomline_gateway_calls_total{{{_MODEL}}}{_RATE}))"
    kinds = f"sum by (model, call) (rate(loomline_gateway_calls_total{{{_MODEL}}}{_RATE}))"
    tokens = f"sum by (model) (rate(loomline_gateway_tokens_total{{{_MODEL}}}{_RATE}))"
    http = f"sum by (route, status) (rate(loomline_gateway_http_requests_total{_RATE}))"
    feedback = f"sum by (kind, stored) (increase(loomline_gateway_feedback_total{_RATE}))"
    seconds, first = "loomline_gateway_request_seconds", "loomline_gateway_first_token_seconds"
    return (
        made.with_row(Row("Calls of models, at the gateway"))
        .with_panel(
            graph("Calls by kind", "", [(kinds, "{{model}} {{call}}")], unit="reqps", stacked=True)
        )
        .with_panel(
            graph("Calls by gRPC status", "", [(codes, "{{model}} {{code}}")], unit="reqps")
        )
        .with_panel(
            graph("HTTP replies", "By route and status.", [(http, "{{route}} {{status}}")],
                  unit="reqps")
        )
        .with_panel(
            graph("Time of a call", "", _quantiles(seconds, "model, call", "{{model}} {{call}}"),
                  unit="s", width=12)
        )
        .with_panel(
            graph("Time to the first token", "Of streams.",
                  _quantiles(first, "model", "{{model}}"), unit="s", width=12)
        )
        .with_panel(graph("New tokens a second", "", [(tokens, "{{model}}")]))
        .with_panel(
            graph(
                "Calls under way",
                "Beyond the limit they are refused.",
                [
                    ("loomline_gateway_in_flight", "{{instance}}"),
                    ("loomline_gateway_in_flight_limit", "{{instance}} limit"),
                ],
            )
        )
        .with_panel(
            graph("Feedback", "What people said, by kind.",
                  [(feedback, "{{kind}} stored={{stored}}")])
        )
    )  # fmt: skip


def _rollout(made: Dashboard) -> Dashboard:
    def arms(metric: str) -> str:
        return f'{metric}{{{_MODEL}, arm!=""}}'

    return (
        made.with_row(Row("A rollout under way"))
        .with_panel(
            graph(
                "Share of the canary",
                "Of the requests; 0 without a rollout.",
                [(f"max by (model) (loomline_gateway_rollout_share{{{_MODEL}}})", "{{model}}")],
                unit="percentunit",
                most=1,
            )
        )
        .with_panel(
            graph(
                "Calls that fail, by arm",
                "",
                [(arms("model_arm:loomline_gateway_calls_failed:ratio_rate5m"),
                  "{{model}} {{arm}}")],
                unit="percentunit",
            )
        )
        .with_panel(
            graph(
                "p95 of a call, by arm",
                "",
                [(arms("model_arm:loomline_gateway_request_seconds:p95_5m"), "{{model}} {{arm}}")],
                unit="s",
            )
        )
    )  # fmt: skip


def _server(made: Dashboard) -> Dashboard:
    requests = (
        f"sum by (model_name, status) (rate(:tensorflow:serving:request_count{{{_SERVED}}}{_RATE}))"
    )
    latency = f"model_name:tensorflow_serving_request_latency_seconds:p95_5m{{{_SERVED}}}"
    loads = "sum by (model_path, status) (:tensorflow:cc:saved_model:load_attempt_count)"
    return (
        made.with_row(Row("Model server"))
        .with_panel(
            graph("Requests", "By gRPC status.", [(requests, "{{model_name}} {{status}}")],
                  unit="reqps")
        )
        .with_panel(
            graph("p95 of a request", "Of those that succeeded.", [(latency, "{{model_name}}")],
                  unit="s")
        )
        .with_panel(
            graph("Loads of versions", "Since the server started.",
                  [(loads, "{{model_path}} {{status}}")])
        )
    )  # fmt: skip


def _resources(made: Dashboard) -> Dashboard:
    ours = 'job=~"loomline-.+"'
    queue = [
        ("loomline_gateway_recorder_queue", "{{instance}}"),
        ("loomline_gateway_recorder_queue_limit", "{{instance}} limit"),
    ]
    dropped = (
        f"sum by (instance, reason) (increase(loomline_gateway_recorder_dropped_total{_RATE}))"
    )
    name = "{{job}} {{instance}}"
    return (
        made.with_row(Row("Processes and records"))
        .with_panel(
            graph("Memory", "TensorFlow Serving tells none: on a cluster look at the container's.",
                  [(f"process_resident_memory_bytes{{{ours}}}", name)], unit="bytes", width=6)
        )
        .with_panel(
            graph("Processors", "", [(f"rate(process_cpu_seconds_total{{{ours}}}{_RATE})", name)],
                  unit="none", width=6)
        )
        .with_panel(
            graph("Records that wait", "For the database.", queue, width=6)
        )
        .with_panel(
            graph("Records given up", "", [(dropped, "{{instance}} {{reason}}")], width=6)
        )
    )  # fmt: skip
