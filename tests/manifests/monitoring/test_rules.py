"""The rules, their unit tests and the configurations hold before Prometheus' own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "manifests" / "monitoring"
RULES = FOLDER / "prometheus" / "rules.yaml"
TESTS = sorted(RULES.parent.glob("*_test.yaml"))
SEVERITIES = {"critical", "warning", "info"}


def run(program: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is missing: make test-tools")
    command = [found, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def cases() -> dict[str, list[bool]]:
    """For every alert, whether it is expected to fire, of each moment that is tested."""
    found: dict[str, list[bool]] = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for moment in test["alert_rule_test"]:
                fires = bool(moment.get("exp_alerts"))
                found.setdefault(moment["alertname"], []).append(fires)
    return found


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    done = run("promtool", "check", "config", FOLDER / "prometheus" / "prometheus.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    # Duplicates and the like are told, and are no failure by themselves.
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_its_configuration() -> None:
    done = run("amtool", "check-config", FOLDER / "alertmanager" / "alertmanager.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_where_it_should_and_not_elsewhere() -> None:
    done = run("promtool", "test", "rules", *TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_tests_notice_rules_that_were_changed(tmp_path: Path) -> None:
    changes = {
        "LoomlineErrorShare": (":ratio_rate5m > 0.05", ":ratio_rate5m > 0.2"),
        "LoomlineMemoryGrowth": ("> 1.5 * min_over_time", "> 3 * min_over_time"),
        "LoomlineRetrainingRefused": ('state="refused_budget"', 'state="refused_cool_down"'),
        "LoomlineModelUnavailable": ("_versions) == 0\n        for: 2m", "_versions) == 0"),
        "LoomlineLoadFailed": (" unless :tensorflow", " and :tensorflow"),
        "LoomlineGatewayDown": ('up{job="loomline-gateway"} == 0', 'up{job="gateway"} == 0'),
    }
    text = RULES.read_text("utf-8")
    for rule, changed in changes.values():
        assert text.count(rule) == 1, rule
        text = text.replace(rule, changed)
    (tmp_path / "rules.yaml").write_text(text, "utf-8")
    copies = [shutil.copy(path, tmp_path) for path in TESTS]
    done = run("promtool", "test", "rules", *copies)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert set(re.findall(r"alertname: (\w+)", said)) == set(changes), said


def test_every_alert_has_a_test_where_it_fires_and_one_where_it_does_not() -> None:
    tested = cases()
    assert set(tested) == set(alerts())
    lacking = [name for name, fires in tested.items() if set(fires) != {True, False}]
    assert lacking == []


def test_every_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on() -> None:
    for name, rule in alerts().items():
        assert name.startswith("Loomline")
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor in anchors(ROOT / page), f"{name}: {page} has no section #{anchor}"


def test_every_section_that_says_what_to_do_is_that_of_an_alert() -> None:
    page = (ROOT / "docs" / "how-to" / "watch-a-model.md").read_text("utf-8")
    sections = re.findall(r"^### (.+)$", page, re.MULTILINE)
    assert sections == list(alerts())


def test_what_is_silenced_by_another_alert_is_an_alert() -> None:
    content = yaml.safe_load((FOLDER / "alertmanager" / "alertmanager.yaml").read_text("utf-8"))
    matchers = [
        matcher
        for rule in content["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    for matcher in matchers:
        for pattern in matcher.split('"')[1].split("|"):
            assert any(re.fullmatch(pattern, name) for name in alerts()), pattern
