"""Every object is one that the three newest versions of Kubernetes take: strictly, and offline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# As in make_schemas.py.
VERSIONS = ("v1.37.2", "v1.36.3", "v1.35.4")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(
    rendered: Any, version: str, conform: Callable[[str, str], dict[str, Any]]
) -> None:
    found = conform(version, rendered.text)
    problems = [one for one in found["resources"] if one["status"] != "statusValid"]
    assert problems == []
    assert found["summary"] == {
        "valid": len(rendered.objects), "invalid": 0, "errors": 0, "skipped": 0
    }  # fmt: skip


def test_the_pod_beside_the_overlays_is_valid(
    loader: Any, conform: Callable[[str, str], dict[str, Any]]
) -> None:
    assert conform(VERSIONS[0], loader.text)["summary"]["valid"] == 1


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("readinessProbe:", "readynessProbe:", "readynessProbe"),
        ("averageUtilization: 70", 'averageUtilization: "70%"', "integer"),
        ("periodSeconds: 5", "periodSeconds: 5\n          periodSeconds: 6", "already set"),
        ("type: RollingUpdate", "kind: RollingUpdate", "kind"),
        ("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", "could not find schema"),
        ("- port: 53", "- port: [53]", "port"),
    ],
)
def test_a_mistake_is_found(
    before: str,
    after: str,
    told: str,
    overlay: Callable[..., Any],
    conform: Callable[[str, str], dict[str, Any]],
) -> None:
    text = overlay("cpu").text
    assert before in text
    found = conform(VERSIONS[0], text.replace(before, after, 1))
    assert found["summary"]["valid"] < len(overlay("cpu").objects)
    assert told in str(found["resources"])


def test_a_mistake_in_a_custom_resource_is_found(
    overlay: Callable[..., Any], conform: Callable[[str, str], dict[str, Any]]
) -> None:
    text = overlay("kserve").text.replace("scaleMetric:", "scaleMetrics:")
    assert "scaleMetrics" in str(conform(VERSIONS[0], text)["resources"])
