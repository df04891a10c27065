"""A real Prometheus with our configuration watches a real server and a real gateway.

Every expression of the rules and the dashboards is asked of it, and an alert goes all the way from
a server that is killed to a message in a channel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serving.client import Client
from serving.client.admin import ModelConfig, reload
from serving.store import RetrainingLimits, Run, Version, open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDER = Path(__file__).parents[3] / "manifests" / "monitoring"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
# What Grafana puts into expressions, as it would here.
VARIABLES = {"$__rate_interval": "1m", "$model": "text|other", "${datasource}": "prometheus"}
PROMQL = re.compile(
    r"""\{[^}]*\}|\[[^]]*\]|"[^"]*"|\b(?:by|on|ignoring|without)\s*\([^)]*\)"""
    r"|\b(?:and|or|unless|offset\s+\w+|bool)\b|[a-z_]+\s*(?=\(|by\b|without\b)"
)
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclasses.dataclass
class Watched:
    """A Prometheus, what it watches, and the messages that arrived in the channel."""

    url: str
    server: Any
    gateway: Any
    messages: list[str]

    def get(self, path: str, **parameters: str) -> Any:
        reply = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        content = reply.json()
        assert content["status"] == "success", f"{parameters}: {content['error']}"
        return content["data"]

    def ask(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Of an expression with one series; None without any."""
        found = self.ask(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def names(self) -> set[str]:
        """Of all metrics that there are, the recorded ones among them."""
        return set(self.get("label/__name__/values"))

    def firing(self) -> dict[str, dict[str, str]]:
        """Name -> annotations of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {
            one["labels"]["alertname"]: one["annotations"]
            for one in alerts
            if one["state"] == "firing"
        }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def started(program: str, ready: str, folder: Path, *flags: str) -> Iterator[None]:
    """Runs a program of Debian's until it answers `ready`, and ends it afterwards."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is missing: make test-tools")
    log = folder / f"{program}.log"
    with log.open("w") as stream:
        process = subprocess.Popen([path, *flags], stderr=stream, stdout=stream)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(ready).status_code == 200:
                    break
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def channel(messages: list[str]) -> Iterator[str]:
    """The far end of a webhook in Slack's form; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configure(folder: Path, server: str, gateway: str, alertmanager: str, slack: str) -> None:
    """Writes our configuration with other addresses, looked at each second instead of 15."""
    text = (FOLDER / "prometheus" / "prometheus.yaml").read_text("utf-8")
    for ours, theirs in (
        ("127.0.0.1:8501", server),
        ("127.0.0.1:8080", gateway),
        ("127.0.0.1:9093", alertmanager),
        ("15s", "1s"),
    ):
        assert ours in text
        text = text.replace(ours, theirs)
    (folder / "prometheus.yaml").write_text(text, "utf-8")
    rules = (FOLDER / "prometheus" / "rules.yaml").read_text("utf-8")
    # Nobody waits a minute here; the unit tests of the rules do.
    (folder / "rules.yaml").write_text(re.sub(r"for: \d+m", "for: 1s", rules), "utf-8")
    routes = (FOLDER / "alertmanager" / "alertmanager.yaml").read_text("utf-8")
    for ours, theirs in (
        ("group_wait: 30s", "group_wait: 1s"),
        ("/etc/alertmanager/slack-url", str(folder / "slack-url")),
    ):
        assert ours in routes
        routes = routes.replace(ours, theirs)
    (folder / "alertmanager.yaml").write_text(routes, "utf-8")
    (folder / "slack-url").write_text(slack, "utf-8")


def fill(url: str, a_run: Callable[..., Run]) -> None:
    """A registry with something of everything."""
    figures = {"evaluation.bits_per_byte": 1.7, "drift.data.drift_share": 0.5}
    waits = NOW - 2 * DAY
    store = open_store(url)
    made = a_run("a", finished=NOW - DAY, figures=figures)
    store.registry.record(made, Version("text", 3, "a", "", ""))
    store.registry.record(a_run("b", finished=waits, outcome="pending"))
    store.registry.record(a_run("c", model="other", outcome="failed"))
    store.monitoring.add(
        "text",
        window=(NOW - DAY, NOW),
        requests=500,
        verdict="alert",
        reason="",
        figures={
            "drift.prompt.drift_share": 0.6,
            "quality.nll_per_byte": 1.4,
            "quality.nll_per_byte_minus_baseline": 0.3,
        },
    )
    store.monitoring.begin_retraining("text", reason="", limits=RetrainingLimits(DAY, runs=0))
    store.rollouts.create(
        "text", stable_version=3, candidate_version=4, state="canary", share=0.5, settings={}
    )
    store.audit.append("candidate.approved", actor="ada", subject="text/a")
    store.close()


def use(gateway: Any) -> None:
    """Some traffic; a moment later more, so that there are rates."""
    for _ in range(8):
        assert gateway.generate().status_code == 200
        assert gateway.events()[-1][0] == "done"
        assert gateway.http.post("/v1/score", json={"text": "Once"}).status_code == 200
    assert gateway.generate(max_new_tokens=-1).status_code == 400
    assert gateway.generate(model="other").status_code == 404
    request = gateway.generate().json()["request_id"]
    said = {"request_id": request, "kind": "thumbs", "value": 1}
    assert gateway.http.post("/v1/feedback", json=said).status_code == 201


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory,
    saved_models: dict[str, Path],
    publish: Callable[[Path, Path, int], Path],
    start_server: Callable[..., Any],
    start_gateway: Callable[..., Any],
    a_run: Callable[..., Run],
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    for version in (3, 4):
        publish(saved_models["first"], folder / "text", version)
    server = start_server(
        folder / "text",
        "--rest_api_port=-1",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
    )
    with Client(server.address, model="text") as client:
        client.wait_until_available(120)
        labels = {"stable": 3, "canary": 4}
        both = ModelConfig("text", str(folder / "text"), "all")
        reload(server.address, [both])
        for version in labels.values():
            client.wait_until_available(60, version=version)
        reload(server.address, [dataclasses.replace(both, labels=labels)])
    rest = server.process.stdout.readline().removeprefix("Serving REST on ").strip()
    store = f"sqlite:///{folder / 'store.sqlite'}"
    fill(store, a_run)
    gateway = start_gateway(
        server.address,
        "--models=text,other",
        "--store-metrics-seconds=0.5",
        "--upstream-poll-seconds=0.5",
        "--rollout-poll-seconds=0.2",
        store=store,
    )
    ports = [free_port(), free_port()]
    prometheus, alertmanager = (f"127.0.0.1:{port}" for port in ports)
    messages: list[str] = []
    with contextlib.ExitStack() as stack:
        slack = stack.enter_context(channel(messages))
        configure(folder, rest, gateway.url.removeprefix("http://"), alertmanager, slack)
        stack.enter_context(
            started(
                "prometheus-alertmanager",
                f"http://{alertmanager}/-/ready",
                folder,
                f"--config.file={folder / 'alertmanager.yaml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
            )
        )
        stack.enter_context(
            started(
                "prometheus",
                f"http://{prometheus}/-/ready",
                folder,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={prometheus}",
            )
        )
        yield Watched(f"http://{prometheus}", server, gateway, messages)


def expressions() -> Iterator[tuple[str, str]]:
    """What the rules and the dashboards ask, and who asks; variables are filled in."""
    for group in yaml.safe_load((FOLDER / "prometheus" / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for path in sorted((FOLDER / "grafana" / "dashboards").glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        for panel in content["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                assert "$" not in expression, expression
                yield panel["title"], expression
        for variable in content["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
                assert asked
                yield f"variable {variable['name']}", asked[1]


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression: what is neither function, keyword nor label."""
    left = PROMQL.sub(" ", expression)
    return {name for name in NAME.findall(left) if not re.fullmatch(r"e\d*", name)}


def test_metrics_are_told_from_functions_keywords_and_labels() -> None:
    expression = """
        histogram_quantile(0.95, sum by (model, le) (rate(a_bucket{x="b(c)"}[5m]))) / 1e6
        > 1.5 * min_over_time(d:e{f=~"g.+"}[1h] offset 6h) and on (model) max by (model) (h)
        or (:i:j{k="l"} unless :i:j{k="l"} offset 30m) and time() - m{n="o"} > 8 * 3600
    """
    assert metrics_in(expression) == {"a_bucket", "d:e", "h", ":i:j", "m"}


def test_both_targets_are_read_and_every_rule_can_be_evaluated(
    watched: Watched, until: Callable[..., None]
) -> None:
    def up() -> bool:
        targets = watched.get("targets")["activeTargets"]
        return len(targets) == 2 and all(one["health"] == "up" for one in targets)

    until(up, 60)
    use(watched.gateway)
    count = 'sum(loomline_gateway_calls_total{code="OK"})'
    until(lambda: watched.value(count) == 25, 30)

    def evaluated() -> bool:
        groups = watched.get("rules")["groups"]
        return all(rule["health"] != "unknown" for group in groups for rule in group["rules"])

    until(evaluated, 30)
    rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 30
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    assert watched.value('loomline_gateway_model_version{model="text"}') == 4
    # Of the server's own target, which may be read a moment after the gateway's.
    until(lambda: (watched.value(":tensorflow:serving:request_count{status='OK'}") or 0) > 0, 30)


def test_every_metric_that_rules_and_dashboards_name_is_one_that_is_exported(
    watched: Watched, until: Callable[..., None]
) -> None:
    use(watched.gateway)
    asked: dict[str, set[str]] = {}
    for who, expression in expressions():
        for name in metrics_in(expression):
            asked.setdefault(name, set()).add(who)
    # Recorded series follow the scraped ones after a moment; of alerts there are some already.
    with contextlib.suppress(AssertionError):
        until(lambda: set(asked) <= watched.names(), 30)
    names = watched.names()
    assert {name: who for name, who in asked.items() if name not in names} == {}
    assert len(asked) > 40


def test_every_panel_shows_something(watched: Watched, until: Callable[..., None]) -> None:
    use(watched.gateway)
    for who, expression in expressions():
        found: list[Any] = []

        def shown(expression: str = expression, found: list[Any] = found) -> bool:
            found[:] = watched.ask(expression)
            return bool(found)

        if who.startswith("Loomline"):
            watched.ask(expression)  # An alert that fires nowhere is as it should be.
        else:
            until(shown, 30)
            assert any(one.get("value", ["", "NaN"])[1] != "NaN" for one in found), expression


def test_what_the_store_holds_raises_the_alerts_that_it_should(
    watched: Watched, until: Callable[..., None]
) -> None:
    expected = {
        "LoomlineApprovalWaiting": "A candidate of text has waited 2d 0h ",
        "LoomlineDrift": "60% of the measures of text drifted (prompt).",
        "LoomlineModelUnavailable": "No version of other is available.",
        "LoomlineMonitoringAlert": "Monitoring says of text: alert.",
        "LoomlineQualityWorse": "text finds what people would have written less likely",
        "LoomlineRetrainingRefused": "text should be trained anew, and the budget is spent.",
        "LoomlineRunFailed": "The newest run of other failed.",
    }
    until(lambda: set(expected) <= set(watched.firing()), 30)
    firing = watched.firing()
    # What a crowded machine makes slow is nobody's mistake.
    slow = {name for name in firing if re.search("Latency|Slow", name)}
    assert set(firing) - slow == set(expected), "others are quiet"
    for name, summary in expected.items():
        assert firing[name]["summary"].startswith(summary)
    told = "[firing] LoomlineModelUnavailable other"
    until(lambda: any(told in text for text in watched.messages), 30)


def test_a_server_that_is_killed_is_told_in_the_channel_and_what_follows_from_it_is_not(
    watched: Watched, until: Callable[..., None]
) -> None:
    watched.messages.clear()
    watched.server.process.kill()
    watched.server.process.wait()
    until(lambda: "LoomlineServerDown" in watched.firing(), 60)
    until(lambda: any("LoomlineServerDown" in text for text in watched.messages), 30)
    (told,) = [json.loads(text) for text in watched.messages if "LoomlineServerDown" in text]
    (attachment,) = told["attachments"]
    assert attachment["title"].startswith("[firing] LoomlineServerDown")
    assert "docs/how-to/watch-a-model.md#loomlineserverdown" in attachment["text"]
    until(lambda: watched.value('max(loomline_gateway_model_version{model="text"})') == 0, 30)
    until(lambda: watched.value('ALERTS{alertname="LoomlineServerDown", alertstate="firing"}'), 30)
    # The model is unavailable, too; that follows from it, and is nobody's message.
    unavailable = 'ALERTS{alertname="LoomlineModelUnavailable", alertstate="firing", model="text"}'
    until(lambda: watched.value(unavailable) == 1, 30)
    time.sleep(3)
    told_too = "[firing] LoomlineModelUnavailable text"
    assert not any(told_too in text for text in watched.messages)
