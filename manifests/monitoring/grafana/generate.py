"""Writes the Grafana dashboards: `python -m manifests.monitoring.grafana.generate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from manifests.monitoring.grafana.models_board import models
from manifests.monitoring.grafana.serving_board import serving

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> Iterator[tuple[Path, str]]:
    """The files and what belongs in them."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    for made in (serving(), models()):
        found = made.build()
        content = json.loads(encoder.encode(found))
        yield FOLDER / f"{found.uid}.json", encoder.encode(_trimmed(content)) + "\n"


def _trimmed(content: dict[str, Any]) -> dict[str, Any]:
    """With numbered panels, and without defaults that Grafana's schema has no more."""
    for variable in content["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for number, panel in enumerate(content["panels"], 1):
        panel["id"] = number
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return content


def main() -> None:
    """Writes them."""
    for path, text in dashboards():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
