"""The registry's pages in a real browser: list, filter, compare, trace back, see what serves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.store import Run, Version, open_store

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVIL = "<img src=x onerror=\"document.title='broken into'\">"
STYLED = "<style>p { color: rgb(1, 2, 3) }</style><p>the evaluation</p>"


@pytest.fixture(scope="module")
def registry(
    start_gateway: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    past_run: Callable[..., Run],
) -> Any:
    """A gateway with four runs: versions 1 to 3, the second stable and the third canary."""
    folder: Path = tmp_path_factory.mktemp("registry")
    (folder / "evaluation.html").write_text(
        f"{STYLED}<script>parent.document.title='broken into'</script>{EVIL}"
    )
    url = f"sqlite:///{folder / 'store.sqlite'}"
    with contextlib.closing(open_store(url)) as store:
        for number, version in enumerate((1, 2, None, 3)):
            name = f"run{number}"
            run = past_run(
                name,
                finished=NOON + timedelta(hours=number),
                outcome="pushed" if version else "rejected",
                reason=f"{EVIL} is above 0",
                config={"train": {"layers": 3 + number, "note": EVIL}},
                figures={
                    "evaluation.bits_per_byte": 2 - number / 10,
                    "drift.data.drift_share": 0.5,
                    **{f"evaluation.other_{other}": 1.0 * number * other for other in range(1, 9)},
                },
                champion_version=min(number, 2) or None,
                records=str(folder),
            )
            digest = f"{version}" * 64
            made = version and Version("text", version, name, digest, "/models/text")
            store.registry.record(run, made or None)
        store.registry.record(past_run("other", model="image", outcome="failed", figures={}))
        now = datetime.now(UTC)
        store.deployments.observe("models:8500", "text", {2: ["stable"], 3: ["canary"]}, now)
    return start_gateway("127.0.0.1:1", store=url)


def test_runs_are_filtered_chosen_and_compared(
    open_page: Any, registry: Any, until: Callable[..., None]
) -> None:
    page = open_page(registry.url, "/runs", ".cards tbody tr")
    rows = page.locator(".cards tbody tr")
    assert rows.count() == 5
    assert page.is_disabled("#compare")
    page.select_option("#model", "text")
    until(lambda: page.locator(".cards tbody tr").count() == 4)
    page.select_option("#outcome", "rejected")
    until(lambda: page.locator(".cards tbody tr").count() == 1)
    assert "model=text" in page.url
    assert "outcome=rejected" in page.url
    page.go_back()
    until(lambda: page.locator(".cards tbody tr").count() == 4)
    assert "stable" in page.inner_text(".cards tbody tr:has-text('version 2')")
    page.click("text=Choose all shown")
    page.click("text=Compare 4 runs")
    page.wait_for_selector(".plots svg")
    # The oldest first, and the figure of the list before all others.
    assert page.inner_text(".cards tbody a >> nth=0") == "text/run0"
    assert page.inner_text(".plots figcaption >> nth=0") == "evaluation.bits_per_byte"
    told = [
        each.get_attribute("aria-label") for each in page.locator(".plots svg >> nth=0 >> a").all()
    ]
    assert told == [
        "Run 1, text/run0: 2, version 1",
        "Run 2, text/run1: 1.9, version 2, stable, champion",
        "Run 3, text/run2: 1.8",
        "Run 4, text/run3: 1.7, version 3, canary",
    ]
    assert page.locator(".plots figure").count() == 6
    page.click("summary:has-text('3 more figures that differ')")
    until(lambda: page.locator(".plots figure").count() == 9)
    properties = page.locator(".properties tbody")
    assert "train.layers" in properties.inner_text()
    assert "train.note" not in properties.inner_text()
    page.check("text=Also what is the same")
    assert "train.note" in page.locator(".properties tbody").inner_text()
    page.fill("#only", "drift")
    until(lambda: page.locator(".plots figure").count() == 0)
    page.click("summary:has-text('1 figures that are the same')")
    page.wait_for_selector(".plots figure:has-text('drift.data.drift_share')")


def test_points_of_a_plot_lead_to_their_run_by_the_keyboard(open_page: Any, registry: Any) -> None:
    page = open_page(registry.url, "/runs/compare?run=text/run0&run=text/3", ".plots svg")
    page.locator(".plots svg >> nth=0 >> a >> nth=1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/text/run3")
    page.wait_for_selector(".lineage")


def test_a_run_is_traced_from_data_to_servers_with_its_reports(
    open_page: Any, registry: Any
) -> None:
    page = open_page(registry.url, "/runs/text/3", ".lineage")
    steps = page.locator(".lineage > li")
    assert steps.locator("h3").all_inner_texts() == [
        "Data", "Code", "Options", "Run", "Figures", "Decision", "Approval", "Version", "Serves at"
    ]  # fmt: skip
    assert EVIL in steps.nth(5).inner_text()
    assert "models:8500 canary" in steps.nth(8).inner_text()
    page.click(".reports button:has-text('evaluation')")
    page.wait_for_selector(".reports iframe:not([hidden])")
    report = page.frame_locator(".reports iframe").locator("p")
    assert report.inner_text() == "the evaluation"
    # Its own styles are let in, its scripts are not.
    assert report.evaluate("each => getComputedStyle(each).color") == "rgb(1, 2, 3)"
    assert page.title() == "Loomline run"
    page.click("a:has-text('version 2') >> nth=0")
    page.wait_for_selector(".title:has-text('run run1')")


def test_versions_are_shown_with_where_they_serve(open_page: Any, registry: Any) -> None:
    page = open_page(registry.url, "/models", ".cards tbody tr")
    shown = page.locator(".cards tbody tr").all_inner_texts()
    assert len(shown) == 3
    assert "models:8500 canary" in " ".join(shown[0].split())
    assert "nowhere" in shown[2]
    page.click("nav a:has-text('Review')")
    page.wait_for_selector("#notice:has-text('--review-models')")
    page.click("nav a:has-text('Playground')")
    page.wait_for_selector("nav a:has-text('Runs')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_read_on_a_phone(
    open_page: Any, registry: Any, readable: Callable[[Any], None], scheme: str
) -> None:
    paths = {
        "/runs": ".cards tbody tr",
        "/runs/text/run3": ".lineage",
        "/runs/compare?run=text/run0&run=text/run1&run=text/run3": ".plots svg",
        "/models": ".cards tbody tr",
    }
    for path, ready in paths.items():
        page = open_page(
            registry.url,
            path,
            ready,
            viewport={"width": 360, "height": 740},
            color_scheme=scheme,
        )
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        readable(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_what_is_not_there_is_told(open_page: Any, registry: Any) -> None:
    page = open_page(registry.url, "/runs/text/nothing", "#notice:not([hidden])")
    assert "expected the name of one run" in page.inner_text("#notice")
    page = open_page(registry.url, "/runs?model=sound", ".empty")
    assert page.inner_text(".empty") == "No run is like that."


def test_what_stands_against_a_model_comes_first(
    open_page: Any, start_gateway: Callable[..., Any], past_run: Callable[..., Run], tmp_path: Path
) -> None:
    verdicts = ("pass", "warn", "pass", "fail", "warn")
    rules = [
        {"metric": f"evaluation.figure_{place}", "value": 1.5, "verdict": verdict, "reason": ""}
        for place, verdict in enumerate(verdicts)
    ]
    (tmp_path / "decision.json").write_text(json.dumps({"rules": rules}))
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with contextlib.closing(open_store(url)) as store:
        store.registry.record(past_run("one", outcome="pending", records=str(tmp_path)))
    gateway = start_gateway("127.0.0.1:1", store=url)
    page = open_page(gateway.url, "/runs/text/one", ".cards tbody tr")
    shown = page.locator(".cards tbody td[data-name='figure']").all_inner_texts()
    assert shown == [f"evaluation.figure_{place}" for place in (3, 1, 4, 0, 2)]
    # Whoever has to decide gets to where that is done.
    review = page.get_attribute(".lineage a:has-text('review it')", "href")
    assert review == "/review?model=text&run=one"
