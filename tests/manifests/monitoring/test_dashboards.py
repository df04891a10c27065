"""The dashboards are what their code makes, and valid by the schema that Grafana publishes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from manifests.monitoring.grafana.generate import FOLDER, dashboards

SCHEMAS = Path(__file__).parents[3] / ".tools" / "grafana-schema"
FILES = sorted(FOLDER.glob("*.json"))
Content = dict[str, Any]


def load(path: Path) -> Content:
    content: Content = json.loads(path.read_text("utf-8"))
    return content


def mistakes(schema: str, part: Any) -> list[str]:
    """What is wrong with a part, by the types of @grafana/schema; unknown keys are, too."""
    path = SCHEMAS / f"{schema}.json"
    if not path.is_file():
        pytest.skip("Grafana's schema is missing: make test-tools")
    found = jsonschema.Draft7Validator(load(path)).iter_errors(part)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]


def panels(content: Content) -> list[Content]:
    return [panel for panel in content["panels"] if panel["type"] != "row"]


def test_the_files_are_what_their_code_makes() -> None:
    made = dict(dashboards())
    assert sorted(made) == FILES
    for path, text in made.items():
        assert path.read_text("utf-8") == text, (
            "run: python -m manifests.monitoring.grafana.generate"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_valid_by_grafanas_own_schema(path: Path) -> None:
    content = load(path)
    assert mistakes("dashboard", content) == []
    for panel in panels(content):
        kind, custom = panel["type"], panel["fieldConfig"]["defaults"].get("custom")
        assert mistakes(kind, panel["options"]) == [], panel["title"]
        if custom is not None:
            assert mistakes(f"{kind}-field", custom) == [], panel["title"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(panel=[]),
        lambda content: content["panels"][1].update(type=3),
        lambda content: content["panels"][1]["gridPos"].pop("h"),
        lambda content: content["templating"]["list"][0].update(type="queries"),
        lambda content: content["panels"][1]["fieldConfig"]["defaults"].update(units="s"),
    ],
)
def test_the_schema_refuses_what_grafana_does_not_know(change: Any) -> None:
    content = load(FILES[0])
    change(content)
    assert mistakes("dashboard", content)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other_and_every_name_is_used_once(path: Path) -> None:
    content = load(path)
    numbers = Counter(panel["id"] for panel in content["panels"])
    assert set(numbers.values()) == {1}
    titles = Counter(panel["title"] for panel in content["panels"])
    assert set(titles.values()) == {1}
    for panel in panels(content):
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    places = [panel["gridPos"] for panel in content["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_every_dashboard_has_a_name_of_its_own_and_can_be_given_any_prometheus() -> None:
    contents = [load(path) for path in FILES]
    assert len({content["uid"] for content in contents}) == len(contents) == 2
    for content in contents:
        variables = {one["name"]: one["type"] for one in content["templating"]["list"]}
        assert variables == {"datasource": "datasource", "model": "query"}
        assert "__inputs" not in content
